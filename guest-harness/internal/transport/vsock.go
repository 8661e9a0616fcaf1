package transport

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// hasVsock says whether the machine has a vsock device: without one, the local context id is "any".
func hasVsock() bool {
	fd, err := unix.Open("/dev/vsock", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	cid, err := unix.IoctlGetUint32(fd, unix.IOCTL_VM_SOCKETS_GET_LOCAL_CID)
	return err == nil && cid > unix.VMADDR_CID_HOST && cid != unix.VMADDR_CID_ANY
}

// vsock listens; connections whose hello has been answered, and the error that ends it, wait in a channel.
type vsock struct {
	fd      int
	greeted chan net.Conn
	failed  chan error
}

func listenVsock() (*vsock, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: vsockPort}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, 16); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	v := &vsock{fd: fd, greeted: make(chan net.Conn), failed: make(chan error, 1)}
	go func() {
		for {
			conn, err := v.accept()
			if err != nil {
				v.failed <- err
				return
			}
			go v.greet(conn)
		}
	}()
	return v, nil
}

// Accept gives the next connection of the host whose hello has been answered.
func (v *vsock) Accept() (net.Conn, error) {
	select {
	case conn := <-v.greeted:
		return conn, nil
	case err := <-v.failed:
		return nil, err
	}
}

func (v *vsock) greet(conn net.Conn) {
	if greet(conn) != nil {
		conn.Close() // the host has gone
		return
	}
	v.greeted <- conn
}

// accept gives the next connection of the host. Those of the guest's own processes (over the kernel's vsock loopback)
// are closed: only the host may command the harness.
func (v *vsock) accept() (net.Conn, error) {
	for {
		fd, peer, err := unix.Accept4(v.fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch err {
		case nil:
		case unix.EINTR, unix.ECONNABORTED:
			continue
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS:
			time.Sleep(10 * time.Millisecond)
			continue
		default:
			return nil, os.NewSyscallError("accept4", err)
		}
		if from, ok := peer.(*unix.SockaddrVM); !ok || from.CID != unix.VMADDR_CID_HOST {
			unix.Close(fd)
			continue
		}
		return vsockConn{os.NewFile(uintptr(fd), "vsock")}, nil
	}
}

// vsockConn adds to a socket's file what net.Conn has more.
type vsockConn struct{ *os.File }

func (vsockConn) LocalAddr() net.Addr  { return address("vsock") }
func (vsockConn) RemoteAddr() net.Addr { return address("vsock") }
