#!/bin/sh
# Runs in a container: run another script, and stop it when standard input ends.
#   sh /scripts/until_input_ends.sh SCRIPT [ARGUMENTS]
# `docker exec` and `docker run` pass no signal on when they are killed or their terminal is closed.
# So a script on the host gives them a pipe, which ends with that script, however it ends.

# In a session of its own, all processes of the script get the signals.
setsid sh "$@" < /dev/null &
script=$!
stop() {
  # INT is for a PostgreSQL server, which at TERM would wait for its sessions.
  for signal in TERM INT; do
    kill -s "$signal" -- "-$script" || kill -s "$signal" "$script"
  done 2> /dev/null
}
trap stop HUP INT TERM
exec 3<&0
# If this ends first, `cat` has to be ended, too: the input of schedule.sh never ends.
{
  cat=''
  trap 'kill $cat; exit' TERM
  cat <&3 &
  cat=$!
  wait "$cat"
  stop
} > /dev/null 2>&1 &
reader=$!

# A signal ends `wait`, but not the script.
while kill -0 "$script" 2> /dev/null; do
  wait "$script"
  status=$?
done
kill "$reader" 2> /dev/null
exit "$status"
