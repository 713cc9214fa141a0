# What the servers' scripts share: a free port, and a program in the background that is ended by its process id.

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

run() {  # FOLDER PROGRAM ARGUMENTS...
    local folder=$1
    shift
    setsid "$@" >>"$folder/log" 2>&1 </dev/null &
    echo $! >"$folder/pid"
}

wait_ready() {  # FOLDER URL
    for _ in $(seq 600); do
        if ! kill -0 "$(cat "$1/pid")" 2>/dev/null; then
            tail -n 20 "$1/log" >&2
            exit 1
        fi
        if python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "$2" 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    echo "$2 does not answer" >&2
    exit 1
}

end() {  # FOLDER SIGNAL
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    kill -"$2" "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    rm -f "$1/pid"
}
