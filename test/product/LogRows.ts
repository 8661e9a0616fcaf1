/**
 * The rows of the log store against a real guest, by the product's own commands: a program in Python that a host runs, with
 * `aegis` on its PATH, no daemon, and the right to mount. It prints one line a row: `ok T-285`, or `not ok T-285: why`.
 */

/** What runs in the guest: it says this and that, and goes on when a file of that name is in its workspace. */
const guest = String.raw`
import os, subprocess, sys, time
def out(data):
    while data: data = data[os.write(1, data):]
def wait(name):
    while not os.path.exists(name): time.sleep(0.05)
def lines(count):
    pad = b"." * 991 + b"\n"
    for at in range(0, count, 50): out(b"".join(b"%08d" % (at + i) + pad for i in range(50)))
out(b"first\n" + b"[exec] not an exec\n" + b"process exited (code=7)\n")
out(bytes(range(256)) * 4 + b"\n")
out(b"x" * 4_000_000 + b"end\n")
both = [subprocess.Popen(["sh", "-c", "i=0; while [ $i -lt 200 ]; do echo %s $i; i=$((i+1)); done" % name]) for name in "pq"]
for one in both: one.wait()
out(b"no end")
time.sleep(1.5)
out(b"\n")
open("begun", "w").close()
wait("flood")
lines(int(sys.argv[1]))
open("flooded", "w").close()
wait("again")
lines(int(sys.argv[1]) // 4)
open("ended", "w").close()
number = 0
while True:
    wait("say")
    os.remove("say")
    out(b"said %d\n" % number)
    number += 1
`

/** `size` lines of 1000 bytes are more than the cap, and a quarter of them less; so many followers at once. */
export const logRows = (options: {
  readonly capMib: number
  readonly size: number
  readonly followers: number
}): string => String.raw`
import base64, json, os, re, stat, subprocess, sys, tempfile, threading, time
home, cap, size, followers = os.environ["AEGIS_HOME"], ${options.capMib} << 20, ${options.size}, ${options.followers}
os.environ["AEGIS_LOG_CAP"] = str(cap >> 20)
work = tempfile.mkdtemp()
data = os.path.join(home, "data")
def aegis(*args): return subprocess.run(["aegis", *args], capture_output=True, timeout=200)
def said(*args):
    done = aegis(*args)
    assert done.returncode == 0, (args, done.returncode, done.stderr[-500:])
    return done.stdout
def entries(text): return [json.loads(line) for line in text.splitlines()]
def log(*args): return entries(said("logs", "box", "--json", *args))
def payload(entry):
    raw = base64.b64decode(entry["line_base64"]) if "line_base64" in entry else entry["line"].encode()
    return raw + (b"" if entry.get("partial") else b"\n")
def primary(all): return [one for one in all if "gap" not in one and one["source"] == "server"]
# A line that was unfinished while no daemon was there may be in two pieces.
def numbers(all): return [int(line) for line in re.findall(rb"^(\d{8})\.{991}$", b"".join(map(payload, primary(all))), re.M)]
def until(what, look, seconds=120):
    end = time.time() + seconds
    while not look():
        assert time.time() < end, "waited in vain: " + what
        time.sleep(0.1)
def touch(name): open(os.path.join(work, name), "w").close()
def there(name): return os.path.exists(os.path.join(work, name))
def kill_daemon():
    pid = int(open(os.path.join(data, "aegisd.pid")).read())
    os.kill(pid, 9)
    until("the daemon's end", lambda: not os.path.exists(f"/proc/{pid}"))
def case(name):
    def run(body):
        try:
            body()
            print("ok", name, flush=True)
        except Exception as error:
            print("not ok", name + ":", type(error).__name__, str(error)[:600].replace("\n", " "), flush=True)
    return run
def start(name, *args, workspace=work):
    said("instance", "start", "--name", name, "--memory", "128", "--idle-pause", "0", "--workspace", workspace, *args)

open(os.path.join(work, "guest.py"), "w").write(${JSON.stringify(guest)})
said("up")
start("box", "--", "python3", "guest.py", str(size))
id = json.loads(said("instance", "info", "box", "--json"))["id"]
folder = os.path.join(data, "logs", id)
until("it has begun", lambda: there("begun"))
every, all = all, log()
text = b"".join(map(payload, primary(all)))

@case("S-161")
def _():
    assert all[0]["line"] == "starting" and all[0]["seq"] == 1, all[0]
    assert payload(primary(all)[0]) == b"first\n"
@case("T-285")
def _():
    pieces = [payload(one) for one in primary(all) if payload(one).startswith(b"xxx")]
    assert max(map(len, pieces)) <= 65537 and len(pieces) > 50, len(pieces)
    assert b"\n" + b"x" * 4_000_000 + b"end\n" in text
@case("T-286")
def _():
    assert b"no end\n" in text
    piece, = [one for one in primary(all) if payload(one) == b"no end"]
    assert piece["partial"]
@case("T-287")
def _(): assert bytes(range(256)) * 4 + b"\n" in text
@case("T-300")
def _():
    assert log("--tail", "0") == [] and len(log("--tail", "99999999")) == len(all)
    assert log("--since", "2099-01-01T00:00:00Z") == []
    assert [aegis("logs", "box", *bad).returncode for bad in (["--tail=-1"], ["--since", "never"])] == [2, 2]
@case("T-301")
def _():
    for name in (b"p", b"q"):
        assert [line for line in text.split(b"\n") if line.startswith(name + b" ")] == [b"%s %d" % (name, i) for i in range(200)]
    assert [one["seq"] for one in all] == list(range(1, len(all) + 1))
@case("T-302")
def _():
    assert b"process exited (code=7)\n" in text
    done = aegis("run", "--memory", "64", "--", "sh", "-c", "echo 'process exited (code=7)'; exit 5")
    assert (done.returncode, done.stdout) == (5, b"process exited (code=7)\n"), done
@case("T-303")
def _(): assert [one["source"] for one in all if payload(one) == b"[exec] not an exec\n"] == ["server"]
@case("T-305")
def _():
    value = "planted-" + os.urandom(8).hex()
    subprocess.run(["aegis", "secret", "set", "PLANTED"], input=value.encode(), check=True, capture_output=True)
    start("teller", "--secret", "PLANTED", "--", "sh", "-c", "echo $PLANTED", workspace="teller")
    said("instance", "wait", "teller")
    assert value.encode() in said("logs", "teller")
    found = subprocess.run(["grep", "-rlaF", value, home, "--exclude-dir=logs", "--exclude-dir=base-rootfs", "-D", "skip"], capture_output=True)
    assert found.stdout == b"", found.stdout
    said("instance", "delete", "teller")
@case("T-306")
def _():
    client = subprocess.Popen(["aegis", "exec", "box", "--", "yes", "endless"], stdout=subprocess.PIPE)
    client.stdout.read(1_000_000)
    client.kill()
    client.wait()
    until("its end", lambda: said("exec", "box", "--", "sh", "-c", "cat /proc/[0-9]*/comm; true").split().count(b"yes") == 0)

still = subprocess.Popen(["aegis", "logs", "box", "--json", "-f", "--tail", "1"], stdout=subprocess.PIPE)
files = [tempfile.TemporaryFile() for _ in range(followers)]
following = [subprocess.Popen(["aegis", "logs", "box", "--json", "-f", "--tail", "1"], stdout=one) for one in files]
until("they follow", lambda: every(one.tell() > 0 or os.fstat(one.fileno()).st_size > 0 for one in files))
still.stdout.readline()
touch("flood")
answered = [aegis("status").returncode]
while not there("flooded"): answered.append(aegis("status").returncode)
def seen(file):
    file.seek(0)
    return entries(file.read())
def last(file):
    length = os.fstat(file.fileno()).st_size
    return b"%08d." % (size - 1) in os.pread(file.fileno(), 4000, max(0, length - 4000))
got = []
@case("T-296")
def _():
    for one in files: until("all of it", lambda: last(one))
    got.extend(map(seen, files))
    for each in got: assert not [one for one in each if "gap" in one] and numbers(each) == list(range(size)), len(numbers(each))
@case("T-297")
def _():
    assert len(os.listdir(folder)) > 1 and set(answered) == {0}, (os.listdir(folder), answered)
    for each in got:
        numbered = [one["seq"] for one in each]
        assert numbered == list(range(numbered[0], numbered[0] + len(numbered)))
@case("T-295")
def _():
    late, end = [], b"%08d." % (size - 1)
    for line in still.stdout:
        late.append(json.loads(line))
        if "line" in late[-1] and late[-1]["line"].encode().startswith(end): break
    missing = sum(one["gap"]["lost_entries"] for one in late if "gap" in one)
    assert missing > 0 and len(primary(late)) + missing >= size, (missing, len(late))
still.kill()
for one in following: one.kill()
@case("T-288")
def _():
    held = sum(os.stat(os.path.join(folder, name)).st_size for name in os.listdir(folder))
    assert cap * 3 / 4 < held <= cap, held
    now = log()
    gap = now[0]
    assert gap["gap"]["reason"] == "dropped" and gap["gap"]["to_seq"] + 1 == now[1]["seq"], gap
    assert numbers(now)[-1] == size - 1
@case("T-292")
def _():
    touch("again")
    for _ in range(3):
        time.sleep(0.5)
        kill_daemon()
        said("up")
    until("the end of it", lambda: there("ended"))
    until("its last line", lambda: numbers(log("--tail", "20"))[-1:] == [size // 4 - 1])
    now = log("--source", "primary")
    kept = numbers(now)
    assert kept[-(size // 4):] == list(range(size // 4)), (len(kept), kept[:3], kept[-3:])
    assert [one["seq"] for one in now[1:]] == sorted({one["seq"] for one in now[1:]})
@case("T-299")
def _():
    kept = numbers(log("--source", "primary"))
    assert kept[0] > 0 and kept[:100] == list(range(kept[0], kept[0] + 100))
def say(expected):
    touch("say")
    until(expected, lambda: any_line(expected))
def any_line(expected): return [one for one in log("--tail", "20") if one.get("line") == expected]
newest = lambda: os.path.join(folder, sorted(name for name in os.listdir(folder) if name.endswith(".log"))[-1])
@case("T-290")
def _():
    say("said 0")
    kill_daemon()
    with open(newest(), "r+b") as file:
        file.seek(-51, 2)
        begun = file.read()
        file.write(begun[:30])
    said("up")
    say("said 1")
    assert any_line("said 0") and not [one for one in log("--tail", "20") if "gap" in one]
@case("T-291")
def _():
    kill_daemon()
    with open(newest(), "r+b") as file:
        file.seek(-6000, 2)
        file.write(b"\0garbage\n" * 20)
    said("up")
    say("said 2")
    gap, = [one for one in log("--tail", "20") if "gap" in one]
    assert gap["gap"]["reason"] == "damaged", gap
@case("T-293")
def _():
    # The daemon looks after its files once a second: what it wrote in between went with the file.
    os.remove(newest())
    time.sleep(3)
    say("said 3")
    path = newest()
    os.remove(path)
    os.mkfifo(path)
    time.sleep(3)
    say("said 4")
@case("T-298")
def _():
    follower = subprocess.Popen(["aegis", "logs", "box", "-f", "--tail", "1"], stdout=subprocess.PIPE)
    follower.stdout.readline()
    said("instance", "delete", "box")
    follower.stdout.read()
    assert follower.wait(60) == 0 and not os.path.exists(folder)
@case("T-294")
def _():
    said("down")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", os.path.join(data, "logs")], check=True)
    said("up")
    start("full", "--", "sh", "-c", "yes 0123456789 | head -c 20000000; exit 3", workspace="full")
    assert aegis("instance", "wait", "full").returncode == 3
    gaps = [one["gap"] for one in entries(said("logs", "full", "--json")) if "gap" in one]
    assert gaps and {one["reason"] for one in gaps} <= {"discarded", "dropped"}, gaps
    said("instance", "delete", "full")
    start("roomy", "--", "sh", "-c", "echo there is room", workspace="full")
    said("instance", "wait", "roomy")
    assert b"there is room" in said("logs", "roomy")
aegis("down")
`
