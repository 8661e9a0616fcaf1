/** What root of a guest tries against a directory that it was given, in Python: to run in the guest. */

/** Each attack is tried where the harness has mounted it, and where root of the guest has mounted it once more. */
export const attacks = String.raw`
import ctypes, os, mmap
libc = ctypes.CDLL(None, use_errno=True)
MS_REMOUNT, MS_BIND = 32, 4096
tag = [line.split()[0] for line in open("/proc/mounts") if line.split()[1] == "/workspace"][0]
r = libc.mount(tag.encode(), b"/workspace", None, MS_REMOUNT, None)
print("remount", int(r == 0), os.strerror(ctypes.get_errno()))
libc.mount(b"none", b"/workspace", None, MS_REMOUNT | MS_BIND, None)
os.makedirs("/tmp/again", exist_ok=True)
r = libc.mount(tag.encode(), b"/tmp/again", b"virtiofs", 0, None)
print("mounted anew", int(r == 0), os.strerror(ctypes.get_errno()))
if r != 0: libc.mount(b"/workspace", b"/tmp/again", None, MS_BIND, None)
print("read", open("/tmp/again/file.txt").read(), end="")

def write(path, flags):
    fd = os.open(path, flags, 0o666)
    try:
        os.write(fd, b"evil")
        os.fsync(fd)
    finally:
        os.close(fd)

def mapped(path):
    fd = os.open(path, os.O_RDWR)
    view = mmap.mmap(fd, 4)
    view[:4] = b"evil"
    view.flush()

for root in ("/workspace", "/tmp/again"):
    f = root + "/file.txt"
    for name, attack in {
        "write": lambda: write(f, os.O_WRONLY),
        "append": lambda: write(f, os.O_WRONLY | os.O_APPEND),
        "truncate on open": lambda: write(f, os.O_WRONLY | os.O_TRUNC),
        "truncate": lambda: os.truncate(f, 0),
        "create": lambda: write(root + "/new", os.O_WRONLY | os.O_CREAT),
        "map": lambda: mapped(f),
        "mkdir": lambda: os.mkdir(root + "/newdir"),
        "unlink": lambda: os.unlink(f),
        "rmdir": lambda: os.rmdir(root + "/sub"),
        "rename": lambda: os.rename(f, root + "/other.txt"),
        "link": lambda: os.link(f, root + "/linked"),
        "symlink": lambda: os.symlink("/etc/passwd", root + "/sym"),
        "mknod": lambda: os.mknod(root + "/fifo", 0o10600),
        "chmod": lambda: os.chmod(f, 0o4777),
        "chown": lambda: os.chown(f, 1000, 1000),
        "utime": lambda: os.utime(f, (1, 1)),
    }.items():
        try:
            attack()
            print("DONE", root, name)
        except OSError as error:
            print("refused", root, name, error.strerror)
`

/** How many there are: each of the 16 in both places. */
export const attempts = 2 * 16

/** From inside of the writable share: whatever path or handle a guest can think of, to the file beside it. */
export const escapes = (outer: string) => String.raw`
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
outer = ${JSON.stringify(outer)}
os.chdir("/workspace")

def look(path):
    try:
        with open(path, "rb") as file: print("got", file.read(200))
    except OSError: pass

os.makedirs("a/b/c", exist_ok=True)
for name, target in {"absolute": outer + "/secret.txt", "up": "../secret.txt", "far": "../" * 40 + outer[1:] + "/secret.txt",
                     "root": "/proc/1/root/" + outer + "/secret.txt", "dir": outer, "self": "/proc/self/root"}.items():
    if os.path.lexists(name): os.unlink(name)
    os.symlink(target, name)
    look(name)
look("dir/secret.txt"); look("self" + outer + "/secret.txt"); look("../secret.txt"); look("/workspace/../secret.txt")
try: open("dir/planted", "w")
except OSError: pass

# A directory that is moved while it is the working directory: .. from it stays inside.
os.chdir("a/b/c"); os.rename("/workspace/a/b", "/workspace/moved")
look("../../secret.txt"); look("../../../secret.txt"); look("../../../../secret.txt")
os.chdir("/workspace")

# Handles are node numbers of the server: those that the guest was never given lead nowhere.
class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]
handle = Handle(bytes=128); mount = ctypes.c_int()
r = libc.name_to_handle_at(-100, b"/workspace/file.txt", ctypes.byref(handle), ctypes.byref(mount), 0)
top = os.open("/workspace", os.O_RDONLY)
tried = 0
if r == 0:
    size = handle.bytes
    original = bytes(handle.data[:size])
    for node in list(range(0, 2000)) + [2**31, 2**32 - 1, 2**63, 2**64 - 1]:
        forged = Handle(bytes=size, type=handle.type)
        words = struct.pack("<II", (node >> 32) & 0xffffffff, node & 0xffffffff)
        forged.data[:size] = (words + original[8:])[:size]
        fd = libc.open_by_handle_at(top, ctypes.byref(forged), os.O_RDONLY)
        tried += 1
        if fd < 0: continue
        where = os.readlink("/proc/self/fd/%d" % fd)
        try: print("got", os.read(fd, 200))
        except IsADirectoryError:
            if "secret.txt" in os.listdir(fd): print("ESCAPED by handle", where)
        except OSError: pass
        os.close(fd)
print("handles tried", tried, r, os.strerror(ctypes.get_errno()))
for name in ("absolute", "up", "far", "root", "dir", "self"): os.unlink(name)
`
