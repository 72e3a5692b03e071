"""Connect to PostgreSQL as soon as it lets one, then answer every request with a row of it."""

import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg2

while True:
    try:
        connection = psycopg2.connect("host=db user=postgres password=floor connect_timeout=1")
        break
    except psycopg2.OperationalError:
        time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT version()")
            (version,) = cursor.fetchone()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(version.encode())


HTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
