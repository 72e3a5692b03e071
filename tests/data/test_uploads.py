"""Uploads in a bucket: private, intact, and what goes wrong is one line. The store is a real server."""

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.embedded_postgres import free_port
from tests.support.processes import wait_until
from tests.support.project import Project
from tests.support.store import Store

# They share a store, and a site in production.
pytestmark = pytest.mark.xdist_group("uploads")

# Pages that store a file, and that link to files.
VIEWS = """

from html import escape  # noqa: E402

from django.core.files.storage import default_storage  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


@csrf_exempt
def upload(request):
    file = request.FILES["file"]
    return HttpResponse(default_storage.save(f"files/{file.name}", file))


def links(request):
    urls = [default_storage.url(name) for name in request.GET.getlist("name")]
    return HttpResponse("".join(f'<p><img src="{escape(u)}"><a href="{escape(u)}">Save</a>' for u in urls))


def url(request):
    return HttpResponse(default_storage.url(request.GET["name"]))


urlpatterns += [path("links", links), path("upload", upload), path("url", url)]
"""
SAVE = """
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage as storage
"""
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da6364"
    "f8cf50cf00000385018111b9c6050000000049454e44ae426082"
)
SCRIPT = "fetch('/ran'); document.title = 'ran'"
SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>{SCRIPT}</script></svg>"""


def form(name: str, content: bytes, content_type: str) -> dict:
    """Return body and headers of a request that uploads a file."""
    # Random contents must not contain it.
    boundary = "boundary-of-this-form"
    start = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    start += f"Content-Type: {content_type}\r\n\r\n"
    body = start.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return {"body": body, "Content_Type": f"multipart/form-data; boundary={boundary}"}


# The code of the project, without containers


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="module")
def project(bake_once) -> Project:
    project = bake_once(project_slug="uploads", media_storage="s3")
    with open(project.path / "app/config/urls.py", "a", encoding="utf-8") as urls:
        urls.write(VIEWS)
    return project


def variables(store: Store, **settings: str) -> dict[str, str]:
    """Return the environment of a process that uses the store."""
    certificate = {"AWS_CA_BUNDLE": str(store.authority), "S3_SECRET_KEY": store.secret}
    return {"DEBUG": "true", **store.settings(), **certificate, **settings}


@pytest.fixture
def manage(project, python_for, store) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run manage.py with the settings of the store, and with others in their place."""
    python = python_for(media_storage="s3")

    def run(*words: str, check: bool = True, **settings: str):
        environment = variables(store, **settings)
        return project.run(python, "manage.py", *words, cwd="app", env=environment, check=check)

    return run


@pytest.mark.openssl
def test_its_own_tests_pass_and_use_no_bucket(manage, store):
    before = store.names()
    assert re.search(r"^OK", manage("test").stdout, re.MULTILINE)
    assert store.names() == before


@pytest.mark.openssl
def test_the_check_leaves_nothing_behind(manage, store):
    before = store.names()
    assert manage("check_uploads").stdout == f"Uploads work, in uploads at {store.url}.\n"
    assert store.names() == before


WRONG = {
    "secret": ({"S3_SECRET_KEY": "x"}, "S3_SECRET_KEY does not belong to S3_ACCESS_KEY: "),
    "key": ({"S3_ACCESS_KEY": "x"}, "{url} does not know S3_ACCESS_KEY: "),
    "bucket": (
        {"S3_BUCKET": "other"},
        "{url} has no bucket other: create it, or correct S3_BUCKET",
    ),
    "name of a bucket": ({"S3_BUCKET": "a b"}, "S3_BUCKET cannot be 'a b': see docs/uploads.md"),
    "region": ({"S3_REGION": "eu west"}, "S3_REGION cannot be 'eu west': see docs/uploads.md"),
    "port": ({"S3_ENDPOINT_URL": "https://127.0.0.1:9"}, "https://127.0.0.1:9 does not answer: "),
    "host": ({"S3_ENDPOINT_URL": "https://store.invalid"}, "correct S3_ENDPOINT_URL"),
    "no scheme": ({"S3_ENDPOINT_URL": "127.0.0.1:9"}, "S3_ENDPOINT_URL cannot be '127.0.0.1:9': "),
    "bucket in the host": (
        {"S3_ENDPOINT_URL": "https://uploads.store.example"},
        "write it without the bucket",
    ),
    "bucket in the path": (
        {"S3_ENDPOINT_URL": "https://store.example/uploads/"},
        "write it without the bucket",
    ),
    "http in production": (
        {
            "DEBUG": "false",
            "ALLOWED_HOSTS": "a.example",
            "POSTGRES_HOST": "db",
            "S3_ENDPOINT_URL": "http://127.0.0.1:9",
        },
        "S3_ENDPOINT_URL cannot be 'http://127.0.0.1:9': see docs/uploads.md",
    ),
    "no authority": (
        {"AWS_CA_BUNDLE": "/app/none.pem"},
        "AWS_CA_BUNDLE is '/app/none.pem', a file that does not exist",
    ),
    "authority": ({"AWS_CA_BUNDLE": "/etc/hostname"}, "The certificate of {url} is not trusted: "),
    "no key": ({"S3_ACCESS_KEY": ""}, "S3_BUCKET needs S3_ACCESS_KEY and S3_SECRET_KEY"),
    "no bucket": ({"S3_BUCKET": ""}, "S3_BUCKET is not set: uploads are in a folder."),
    "nothing in production": (
        {"DEBUG": "false", "S3_BUCKET": "", "S3_ACCESS_KEY": "", "S3_SECRET_KEY": ""},
        "ALLOWED_HOSTS, S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY",
    ),
}


@pytest.mark.openssl
@pytest.mark.parametrize(("settings", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named_in_one_line(manage, store, settings, reason):
    process = manage("check_uploads", check=False, **settings)
    assert process.returncode == 1
    (line,) = process.stdout.splitlines()
    assert reason.format(url=store.url) in line
    assert store.secret not in line


@pytest.mark.openssl
def test_a_public_bucket_is_refused(manage, tmp_path):
    with Store(tmp_path, public=True) as public:
        process = manage("check_uploads", check=False, **variables(public))
        assert process.returncode == 1
        assert "anybody can read the bucket uploads" in process.stdout
        assert public.names() == []


@pytest.mark.openssl
def test_a_url_works_for_some_minutes_and_only_as_it_was_signed(manage, store):
    script = SAVE + "name = storage.save('a.txt', ContentFile(b'private'));"
    script += "print(name, storage.url(name), storage.url(name, expire=1))"
    name, url, short = manage("shell", "-v0", "-c", script).stdout.split()

    assert "X-Amz-Expires=600&" in url
    assert store.read(url)[:2] == (200, b"private")
    for changed in (url.replace("Expires=600", "Expires=601"), url.replace("a.txt", "b.txt")):
        assert store.read(changed)[0] == 403
    assert store.read(url.partition("?")[0])[0] >= 400
    wait_until(lambda: store.read(short)[0] >= 400, 120, lambda: short)
    assert store.read(url)[0] == 200
    store.bucket.joinpath(name).unlink()


@pytest.mark.openssl
def test_aws_needs_a_region_instead_of_an_address(manage):
    script = SAVE + "from config import settings; print(storage.url('a.png'));"
    script += "print(settings.CONTENT_SECURITY_POLICY['DIRECTIVES']['img-src'][-1])"
    words = ("shell", "-v0", "-c", script)
    url, source = manage(*words, S3_ENDPOINT_URL="", S3_REGION="eu-west-1").stdout.split()
    assert source == "https://uploads.s3.eu-west-1.amazonaws.com/"
    assert url.startswith(f"{source}a.png?")


@pytest.mark.openssl
def test_files_of_one_name_are_all_kept_also_at_the_same_time(manage, store):
    script = SAVE + "from concurrent.futures import ThreadPoolExecutor\n"
    script += "save = lambda n: storage.save('a/same.txt', ContentFile(str(n).encode()))\n"
    script += "with ThreadPoolExecutor(8) as pool: print(*pool.map(save, range(16)))"
    names = manage("shell", "-v0", "-c", script).stdout.split()

    assert [store.bucket.joinpath(name).read_text() for name in names] == list(map(str, range(16)))
    assert {Path(name).name for name in names} == {"same.txt"}


@pytest.mark.openssl
def test_a_folder_of_uploads_is_copied_under_the_same_names_and_once(manage, store, tmp_path):
    files = {"invoices/1.pdf": b"one", "photo é.png": PNG, "empty": b"", "large": b"x" * 9_000_000}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert "4 files copied, 0 were in the bucket." in manage("copy_uploads", tmp_path).stdout
    assert all((store.bucket / name).read_bytes() == content for name, content in files.items())

    store.bucket.joinpath("empty").write_bytes(b"newer")
    process = manage("copy_uploads", tmp_path, check=False)
    assert process.returncode == 1
    assert set(process.stdout.splitlines()) == {
        "0 files copied, 3 were in the bucket.",
        "CommandError: Not copied: empty is in the bucket with another size",
    }
    assert store.bucket.joinpath("empty").read_bytes() == b"newer"


@pytest.mark.openssl
def test_a_file_that_cannot_be_copied_is_named(manage, store, tmp_path):
    (tmp_path / "folder").mkdir()
    process = manage("copy_uploads", tmp_path, check=False)
    assert process.returncode == 1
    assert f"There is no file in {tmp_path}: is the name of the volume right?" in process.stdout

    (tmp_path / "z.txt").write_bytes(b"z")
    (tmp_path / "folder" / "linked").symlink_to("/etc")
    (tmp_path / "linked.txt").symlink_to("/etc/hostname")
    Path(os.fsdecode(bytes(tmp_path) + b"/bad\xff.txt")).write_bytes(b"bad")
    process = manage("copy_uploads", tmp_path, check=False)
    assert process.returncode == 1
    assert "1 files copied, 0 were in the bucket.\n" in process.stdout
    (refused,) = re.findall(r"^CommandError: Not copied: (.*)", process.stdout, re.MULTILINE)
    assert refused.split("; ") == [
        r"bad\xff.txt is no name in UTF-8",
        "folder/linked is no regular file",
        "linked.txt is no regular file",
    ]
    assert store.bucket.joinpath("z.txt").read_bytes() == b"z"


@pytest.mark.openssl
@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_copy_that_was_interrupted_is_completed_by_the_next(
    project, python_for, manage, store, tmp_path, stop, status
):
    for number in range(20):
        (tmp_path / f"{stop.name}-{number}").write_bytes(os.urandom(1000) * 9000)
    command = (python_for(media_storage="s3"), "manage.py", "copy_uploads", str(tmp_path))
    environment = variables(store, PYTHONUNBUFFERED="1")
    copy = project.start(*command, env=environment, cwd="app")
    copy.wait_for(f"{stop.name}-1\n")
    copy.process.send_signal(stop)
    assert copy.end() == status
    if stop == signal.SIGINT:
        assert copy.printed().splitlines()[-1] == "CommandError: Interrupted: run it again."

    printed = manage("copy_uploads", str(tmp_path)).stdout
    copied, kept = map(int, re.search(r"(\d+) files copied, (\d+) were", printed).groups())
    assert kept >= 1 and copied >= 1 and copied + kept == 20
    for file in tmp_path.iterdir():
        assert (store.bucket / file.name).read_bytes() == file.read_bytes()


def test_development_needs_no_store(project, python_for):
    script = SAVE + "name = storage.save('a.txt', ContentFile(b'a')); print(storage.url(name))"
    manage = (python_for(media_storage="s3"), "manage.py", "shell", "-v0", "-c", script)
    url = project.run(*manage, cwd="app").stdout.strip()
    assert (project.path / url.strip("/")).read_bytes() == b"a"


@pytest.mark.browser
@pytest.mark.openssl
def test_a_browser_shows_images_and_runs_no_script_of_an_upload(project, python_for, store, page):
    port = free_port()
    gunicorn = [python_for(media_storage="s3"), "-m", "gunicorn", "config.wsgi"]
    gunicorn += [f"--bind=127.0.0.1:{port}"]
    server = project.start(*gunicorn, env=variables(store, WEB_CONCURRENCY="1"), cwd="app")
    site = f"http://127.0.0.1:{port}"

    def save(name: str, content: bytes | str, content_type: str) -> str:
        file = {"name": name, "mimeType": content_type, "buffer": content}
        return page.request.post(f"{site}/upload", multipart={"file": file}).text()

    try:
        server.wait_for("Booting worker")
        # The store must not believe what the sender claims.
        image = save("photo.png", PNG, "text/html")
        drawing = save("drawing.svg", SVG.encode(), "image/svg+xml")
        html = save("page.html", f"<script>{SCRIPT}</script>".encode(), "text/html")
        requested = []
        page.on("request", lambda request: requested.append(request.url))

        page.goto(f"{site}/links?{urlencode({'name': [image, drawing]}, doseq=True)}")
        for picture in page.locator("img").all():
            picture.evaluate("image => image.decode()")
            assert picture.evaluate("image => image.naturalWidth") > 0
        # Chromium saves these files instead of opening them.
        for name in (drawing, html):
            page.goto(f"{site}/links?{urlencode({'name': image})}")
            url = page.request.get(f"{site}/url?{urlencode({'name': name})}").text()
            with page.expect_download() as download:
                page.evaluate("url => { location.href = url }", url)
            assert download.value.suggested_filename == Path(name).name
        assert not [url for url in requested if url.endswith("/ran")]
        assert page.title() != "ran"
    finally:
        server.process.terminate()
        server.end()


# Containers


@pytest.mark.stack
def test_a_stack_in_development_keeps_uploads_in_the_folder(start_stack):
    project = start_stack(media_storage="s3", postgres_storage="bind_mount")
    script = SAVE + "print(storage.save('a.txt', ContentFile(b'a')))"
    shell = ("exec", "-T", "app", "python", "manage.py", "shell", "-v0", "-c", script)
    name = project.compose(*shell).stdout.strip()
    assert (project.path / "media" / name).read_bytes() == b"a"
    assert project.get(f"/media/{name}") == (200, "a")
    # Production's settings, with a bucket.
    assert "no issues" in project.run("make", "check").stdout


@pytest.fixture(scope="module")
def remote(tmp_path_factory) -> Iterator[Store]:
    """A store that containers reach, at an address of this machine."""
    inspect = ["docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}"]
    host = subprocess.run([*inspect, "bridge"], check=True, capture_output=True, text=True).stdout
    with Store(tmp_path_factory.mktemp("remote"), host=host.strip()) as store:
        yield store


@pytest.fixture(scope="module")
def site(bake_once, remote) -> Iterator[Project]:
    """A site with two containers of app, whose uploads go to the store."""
    answers = {"deployment": "compose", "media_storage": "s3", "django_version": "6.1"}
    site = bake_once(project_slug=Project.unused_slug(), **answers)
    with open(site.path / "app/config/urls.py", "a", encoding="utf-8") as urls:
        urls.write(VIEWS)
    (site.path / "app/authority.pem").write_bytes(remote.authority.read_bytes())
    own = {"APP_REPLICAS": "2", "AWS_CA_BUNDLE": "/app/authority.pem", "MAX_BODY_SIZE": "96MB"}
    site.to_production(**remote.settings(), **own)
    (site.path / "secrets/s3_secret_key").write_text(f"{remote.secret}\n")
    try:
        assert "\nReleased. https://" in site.deploy().stdout
        yield site
    finally:
        site.remove_from_engine()


def upload(site: Project, content: bytes, name: str = "a.txt"):
    """Return the response to an upload."""
    return site.request("/upload", "POST", **form(name, content, "text/plain"))


def url_of(site: Project, name: str) -> str:
    """Return the signed URL of a file."""
    return site.request(f"/url?{urlencode({'name': name})}").text


@pytest.mark.stack
def test_every_container_sees_every_upload_and_none_keeps_it(site, remote):
    name = upload(site, b"seen everywhere").text
    script = f"from django.core.files.storage import default_storage as s; print(s.url('{name}'))"
    for index in (1, 2):
        run = ("exec", "-T", f"--index={index}", "app", "python", "manage.py", "shell", "-v0", "-c")
        url = site.compose(*run, script).stdout.strip()
        assert remote.read(url)[:2] == (200, b"seen everywhere")
    assert site.request(f"/media/{name}").status == 404
    policy = site.request("/").headers["Content-Security-Policy"]
    assert f"img-src 'self' data: {remote.url}/uploads/;" in policy
    volumes = ("docker", "volume", "ls", "--quiet", "--filter", f"name={site.stack}_media")
    assert site.run(*volumes).stdout == ""


@pytest.mark.stack
def test_a_large_upload_arrives_intact_and_a_larger_one_is_refused(site, remote):
    content = os.urandom(1_000_000) * 100
    answer = upload(site, content, "large.bin")
    assert answer.status == 200, site.logs("app")
    assert remote.digest(url_of(site, answer.text)) == hashlib.sha256(content).hexdigest()
    assert upload(site, content + content[:2_000_000]).status == 413
    assert site.restarts() == 0
    assert set(site.inspect("app", "{{.HostConfig.Memory}}")) == {str(512 * 2**20)}
    assert "Worker" not in site.logs("app")


@pytest.mark.stack
def test_a_store_that_is_away_fails_uploads_only(site, remote):
    name = upload(site, b"before").text
    remote.stop()
    try:
        answer = upload(site, b"lost")
        assert answer.status == 503
        assert answer.text == "Uploaded files cannot be reached. Please try again in a minute.\n"
        (line,) = [line for line in site.logs("app").splitlines() if "Connection refused" in line]
        assert line.endswith(
            f"Uploads: {remote.url} does not answer: [Errno 111] Connection refused. "
            "If that lasts, correct S3_ENDPOINT_URL."
        )
        assert site.request(f"/links?{urlencode({'name': name})}").status == 200
        assert site.request("/health/ready").status == 200
    finally:
        remote.start()
    assert remote.read(url_of(site, name))[1] == b"before"
    assert upload(site, b"after").status == 200
    assert "Traceback" not in site.logs("app")


@pytest.mark.stack
def test_a_store_that_hangs_does_not_block_other_pages(site, remote):
    """There are 16 threads: two containers with two processes of four."""
    process = remote.server.process
    process.send_signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(32) as pool:
            # Enough for each process to notice.
            lost = list(pool.map(upload, [site] * 24, [b"lost"] * 24))
            assert {answer.status for answer in lost} == {503}
            waiting = [pool.submit(upload, site, b"late") for _ in range(32)]
            site.wait_until(lambda: site.logs("app").count("another request is trying it") >= 28)
            for path in ("/", "/health/ready"):
                assert site.request(path).status == 200
            process.send_signal(signal.SIGCONT)
            assert {future.result().status for future in waiting} <= {200, 503}
    finally:
        process.send_signal(signal.SIGCONT)
    # Each process tries the store again.
    assert {upload(site, b"after").status for _ in range(20)} == {200}


@pytest.mark.stack
def test_a_key_that_was_changed_at_the_store_is_named_in_the_log(site, remote):
    remote.stop()
    remote.start(secret="another")
    try:
        assert upload(site, b"refused").status == 503
        line = site.logs("app").splitlines()
        assert any(
            "Uploads: S3_SECRET_KEY does not belong to S3_ACCESS_KEY" in text for text in line
        )
    finally:
        remote.stop()
        remote.start()
    assert upload(site, b"accepted").status == 200


@pytest.mark.stack
def test_a_release_checks_the_bucket_before_anything_changes(site, remote):
    secret = site.path / "secrets/s3_secret_key"
    running = site.compose("ps", "--quiet").stdout
    changes = [(site.path / ".env", "S3_BUCKET=uploads", "S3_BUCKET=other", "has no bucket other")]
    changes += [(secret, remote.secret, "", "With DEBUG off, set S3_SECRET_KEY")]
    for file, right, wrong, reason in changes:
        text = file.read_text()
        file.write_text(text.replace(right, wrong))
        try:
            process = site.deploy(check=False)
        finally:
            file.write_text(text)
        assert process.returncode == 1
        assert process.stdout.splitlines()[-1].startswith("Not released: ")
        assert reason in process.stdout.splitlines()[-1]
        assert "Made backups/" not in process.stdout
    assert site.compose("ps", "--quiet").stdout == running


@pytest.mark.stack
def test_uploads_move_from_a_volume_as_the_documentation_says(site, remote):
    volume = f"{site.stack}_media"
    write = "mkdir -p /old/invoices && echo one > /old/invoices/1.txt && chown -R 10001 /old"
    line = re.search(
        r"^    (docker compose run .*--build .*)$", site.read("docs/uploads.md"), re.MULTILINE
    )
    try:
        mount = ("run", "--rm", "--user=root", "--entrypoint=sh", "--volume", f"{volume}:/old")
        site.run("docker", *mount, site.stack, "-c", write)
        command = line[1].replace("NAME_media", volume).split()
        assert "1 files copied, 0 were in the bucket." in site.run(*command).stdout
        assert remote.read(url_of(site, "invoices/1.txt"))[1] == b"one\n"
    finally:
        site.run("docker", "volume", "rm", volume)
