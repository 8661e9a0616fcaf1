/** What runs in the guest whose log is looked at: it says this and that, and goes on when a file of that name is in its workspace. */
export const logGuest = String.raw`
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
out(b"x" * int(sys.argv[2]) + b"end\n")
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
