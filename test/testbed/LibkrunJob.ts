/**
 * What is run in the testbed: `aegis` with libkrun, one section after the other, each headed by `== NAME`. /opt/aegis is the product,
 * /opt/rootfs the base root file system, /opt/test what the test brings. The sections stand in parts, none of which needs another: a
 * machine that takes the place of one that died is given those that have not ended yet. Of the conformance
 * suite so many cases are passed over. One guest at a time where that will do: it is while two run that the emulated hypervisor fails.
 */
export const libkrunJob = (fsx: ReadonlyArray<string>, ended: ReadonlySet<string>, cases: number): string =>
  [
    prelude,
    ...Object.entries(parts(fsx, cases)).flatMap(([name, script]) =>
      ended.has(name) ? [] : [`{\n${script}}\nlast=$?\necho "${endOfPart}${name}"\n`]
    ),
    "exit $last\n"
  ].join("")

/** What heads the line that tells that a part has ended. */
export const endOfPart = "== the end of "

const prelude = String.raw`cd /tmp
# Whatever hangs is ended here, with 124 as its exit code, and is then one section's failure and not the whole machine's.
mkdir /tmp/bin
printf '#!/bin/sh\nexec timeout --foreground -k 30 150 /opt/aegis/aegis "$@"\n' > /tmp/bin/aegis
chmod 755 /tmp/bin/aegis
export PATH=/tmp/bin:/opt/aegis:$PATH AEGIS_BACKEND=libkrun AEGIS_BOOT_TIMEOUT=60 AEGIS_UP_TIMEOUT=120
D=/opt/test
mkdir -p $AEGIS_HOME
ln -s /opt/rootfs $AEGIS_HOME/base-rootfs
left() { echo "left: $(ls $AEGIS_HOME/data/run $AEGIS_HOME/data/workspaces 2>/dev/null | grep -vE '^$|:$' | tr '\n' ' ')"; }
vmm() { cut -d' ' -f1 $AEGIS_HOME/data/run/*/vmm.pid; }
# A guest may take longer here than the router waits: its 503 says when to come again.
knock() { curl -s --max-time 60 --retry 5 http://127.0.0.1:8099/; }
until_said() { local n=0; until grep -q "$1" $2 2> /dev/null || [ $((n += 1)) -gt 450 ]; do sleep 0.2; done; }
aegis up
# The first guest of this emulated hypervisor now and then never comes up, as the testbed's README says of other flags; the ones after it do.
# Each failure here is printed, and three in a row fail what follows.
for i in 1 2 3; do aegis run -- true && break; echo "warm-up $i failed"; done
`

const parts = (fsx: ReadonlyArray<string>, cases: number): Readonly<Record<string, string>> => ({
  alone: String.raw`
echo "== hello"
aegis run -- sh -c 'echo hello from aegis; uname -r; exit 42'; echo "rc $?"
echo "== status"
aegis doctor > /tmp/doctor & doctor=$!
aegis status
wait $doctor
echo "== doctor"
cat /tmp/doctor
echo "== workspace"
aegis run -- sh -c 'touch /workspace/x && echo written; touch /etc/x' 2>&1; echo "rc $?"
left
echo "== shared"
echo "from the host" > $D/fsx/in
aegis run --workspace $D/fsx -- sh -c 'cat in; echo from the guest > out; exec "$@"' sh ${fsx.map((word) => `'${word}'`).join(" ")} 2>&1; echo "rc $?"
(cd $D/fsx && sha256sum data && cat out)
echo "== killed"
(aegis run -- sh -c 'echo up; sleep 1000' > /tmp/out 2>&1; echo "rc $?" >> /tmp/out) &
until_said up /tmp/out
pid=$(vmm)
{ echo "== confined"; cat /proc/$pid/status | grep -E 'NoNewPrivs|CapEff'; cat /proc/$pid/cmdline /proc/$pid/environ | tr '\0' ' ' | grep -qE 'channel.sock|rootfs|sleep' || echo "argv clean"; } > /tmp/confined
kill -9 $pid
wait
sleep 1
cat /tmp/out | grep -v '^up$'
left
cat /tmp/confined
`,
  served: String.raw`
echo "== attacked"
mkdir -p $D/ro/sub; echo "the host's" > $D/ro/file.txt; echo deep > $D/ro/sub/deep.txt; chmod 644 $D/ro/file.txt
state() { (cd $D/ro && find . -printf '%P %y %m %U %G %s %T@ %C@ %n\n' | sort; find . -type f -exec cat {} +); }
before=$(state)
aegis run --workspace $D/ro:ro -- python3 -c "$(cat $D/attacks.py)" 2>&1; echo "rc $?"
[ "$before" = "$(state)" ] && echo unchanged
echo "== serving"
aegis run --expose 80 -- python -m http.server 80 > /tmp/serving 2>&1 & run=$!
until_said Serving /tmp/serving
cat /tmp/serving
knock | grep -o 'Directory listing for /<'
kill -INT $run; wait $run; echo "rc $?"
echo "== web"
aegis instance start --name web --expose 80 --workspace myapp -- python3 -m http.server 80
knock | grep -o 'Directory listing for /<'
aegis instance info web
aegis instance stop web
aegis instance start --name web
knock | grep -o 'Directory listing for /<'
aegis instance delete web
`,
  lived: String.raw`
echo "== exec"
mkdir -p $D/outer/share/data $D/outer/share/output
started=$(aegis instance start --name box --workspace $D/outer/share -- sh -c 'echo first; echo other >&2; exec sleep 100000')
id=$(echo "$started" | head -1 | cut -d' ' -f3)
aegis exec box -- echo hello; echo "rc $?"
aegis exec $id -- sh -c 'ls /workspace; echo err >&2; exit 42' > /tmp/out 2> /tmp/err; echo "rc $?"
cat /tmp/out; echo "stderr: $(cat /tmp/err)"
aegis exec box -- no-such-program 2>&1; echo "rc $?"
echo "listening: $(aegis exec box -- sh -c 'cat /proc/net/tcp /proc/net/tcp6 | grep -c " 0A "')"
echo "== stdin"
head -c 1000000 /dev/urandom > /tmp/random
aegis exec -i box -- cat < /tmp/random | cmp - /tmp/random && echo equal
echo "== terminal"
timeout -k 5 150 python3 $D/terminal.py aegis exec -it box -- sh -c 'tty; stty size; read x; echo got $x; exit 7' > /tmp/out; echo "rc $?"
tr -d '\r' < /tmp/out
echo "== copied"
mkdir -p /tmp/tree/deep /tmp/back; cp /tmp/random /tmp/tree/deep; echo text > "/tmp/tree/ä b"
aegis cp /tmp/tree box:/tmp && aegis cp box:/tmp/tree - | tar x -C /tmp/back && diff -r /tmp/tree /tmp/back/tree && echo equal
echo "== escaped"
echo marker-of-the-host > $D/outer/secret.txt; echo "the host's" > $D/outer/share/file.txt
aegis exec box -- python3 -c "$(cat $D/escapes.py)" 2>&1; echo "rc $?"
echo "host: $(ls $D/outer | tr '\n' ' ')$(cat $D/outer/secret.txt)"
echo "== joined"
job=$(aegis exec --detach box -- sh -c 'echo one; while [ ! -e go ]; do sleep 0.2; done; echo two; exit 5')
kill -9 $(cat $AEGIS_HOME/data/aegisd.pid)
aegis up
touch $D/outer/share/go
aegis exec --attach $job; echo "rc $?"
echo "== paused"
aegis instance pause box
grep State: /proc/$(vmm)/status
FORCE_COLOR=1 aegis logs box -f > /tmp/followed 2> /tmp/followed.err & follower=$!
aegis exec box -- echo resumed; echo "rc $?"
echo "== logs"
aegis instance stop box
aegis exec box -- true 2>&1; echo "rc $?"
FORCE_COLOR=1 aegis logs box > /tmp/out 2> /tmp/err
cat -v /tmp/out | grep -E '^first$|^\^\[\[36m\[exec\]\^\[\[0m (hello|data|one|two|resumed)$|paused'
echo "stderr: $(cat -v /tmp/err | grep -E '^other$| err$' | tr '\n' ' ')"
ls $AEGIS_HOME/data/logs | grep -c $id
echo "== followed"
aegis instance delete box
wait $follower; echo "rc $?"
cmp -n $(stat -c %s /tmp/out) /tmp/followed /tmp/out && echo "the same"
aegis logs box 2>&1; echo "rc $?"
`,
  network: String.raw`
echo "== scan"
# The machine has loopback only: addresses of other kinds on it are as good as a network.
for address in 10.1.2.3/32 192.168.1.5/32 169.254.169.254/32 100.64.0.5/32 203.0.113.9/32 fd00::5/128; do ip addr add $address dev lo; done
node -e '
  const seen = (socket) => require("node:fs").appendFileSync("/tmp/seen", socket.localAddress.replace("::ffff:", "") + "\n")
  require("node:net").createServer((socket) => { seen(socket); socket.on("error", () => 0); socket.end("hello\n") }).listen(8123, "::")' &
server=$!
until [ "$(curl -s --max-time 5 --http0.9 http://127.0.0.1:8123/)" = hello ]; do sleep 0.2; done
: > /tmp/seen
aegis run -- python3 -c "$(cat $D/scan.py)"; echo "rc $?"
echo "seen: $(xargs < /tmp/seen)"
echo "== pip"
python3 -m http.server -d $D/index --bind 127.0.0.1 8124 > /dev/null 2>&1 & index=$!
index_url=http://host.aegis.internal:8124/simple/
aegis run --workspace $D/pip --allow-host 8124 -- python3 pip.whl/pip download --quiet --no-deps --no-cache-dir --disable-pip-version-check \
  --trusted-host host.aegis.internal --index-url $index_url made 2>&1; echo "rc $?"
cmp $D/pip/made-*.whl $D/index/files/made-*.whl && echo equal
kill $index
echo "== network"
aegis instance start --name net --allow-host 8123 -- sleep 1000 > /dev/null
hello() { aegis exec net -- python3 -c "$(cat $D/scan.py)" 192.168.127.254; }
echo "before: $(hello)"
echo "seen: $(xargs < /tmp/seen)"
kill -9 $(pgrep -f '[a]egis-net --network')
echo "after: $(hello)"
for i in 1 2 3 4 5 6 7 8 9 10; do aegis events net | grep "network crashed" && break; sleep 1; done
aegis instance delete net > /dev/null; kill $server
`,
  down: String.raw`
echo "== down"
aegis down
sleep 1
echo "processes: $(pgrep -c -f 'opt/aegis/aegis')"
`,
  logs: String.raw`
echo "== logs of a guest"
mkdir -p $TESTBED_DATA/l $D/box && ln -s /opt/rootfs $TESTBED_DATA/l/base-rootfs
AEGIS_ROUTER_PORT=0 timeout -k 5 500 node $D/logs.cjs /opt/aegis $TESTBED_DATA/l $D/box 4 12000 3 1000000
`,
  conformance: String.raw`
echo "== conformance"
NODE_PATH=/opt/aegis/node_modules timeout -k 5 500 node /opt/test/conformance.cjs /opt/aegis $TESTBED_DATA/c /opt/test/busybox.ext4 ${cases}
`
})

/** Runs its arguments at a terminal of 33 lines and 77 columns, types `word` once they have told that size, and ends as they do. */
export const terminal = `
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
said, typed = b"", False
try:
    while data := os.read(fd, 4096):
        os.write(1, data)
        said += data
        if not typed and b"33 77\\r" in said:
            os.write(fd, b"word\\n")
            typed = True
except OSError: pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

/** Prints each of its arguments, or of the addresses of a host, and each port at which a server of ours answers. */
export const scan = `
import socket, sys, threading
hosts = sys.argv[1:] or "192.168.127.254 192.168.127.1 10.1.2.3 192.168.1.5 169.254.169.254 100.64.0.5 203.0.113.9 fd00::5 fd7f:ae61:5::fe 127.0.0.1".split()
def ask(host, port):
    for _ in range(5):
        try:
            with socket.create_connection((host, port), 5) as one:
                one.settimeout(5)
                if one.recv(9) == b"hello\\n":
                    print(host, port)
                return
        except OSError:
            if len(hosts) > 1: return
all = [threading.Thread(target=ask, args=(host, port)) for host in hosts for port in (22, 80, 111, 2375, 8099, 8123)]
for one in all: one.start()
for one in all: one.join()
`
