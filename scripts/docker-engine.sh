#!/bin/sh
# Sees to it that a Docker engine answers: does nothing where one does, else (as root) starts
# dockerd in the background and waits for it. `start` prints `running` or `started PID`, so that
# the caller knows what to stop; `stop PID` ends what was started. Log: DOCKERD_LOG.
set -eu

LOG=${DOCKERD_LOG:-/tmp/mleagent-dockerd.log}

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

start() {
    if answers; then echo running; return; fi
    command -v dockerd >/dev/null || { echo "docker-engine: dockerd is missing; apt-get install docker.io" >&2; exit 1; }
    [ "$(id -u)" = 0 ] || { echo "docker-engine: starting dockerd needs root" >&2; exit 1; }
    nohup dockerd >"$LOG" 2>&1 &
    pid=$!
    for _ in $(seq 60); do
        if answers; then echo "started $pid"; return; fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 1
    done
    tail -n 20 "$LOG" >&2
    echo "docker-engine: dockerd did not come up, see $LOG" >&2
    kill "$pid" 2>/dev/null || true
    exit 1
}

case "${1:-start}" in
    start) start ;;
    stop) kill "$2" ;;
    *) echo "usage: docker-engine.sh start | stop PID" >&2; exit 2 ;;
esac
