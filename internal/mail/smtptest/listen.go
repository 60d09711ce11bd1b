package smtptest

import (
	"net"
	"sync"
	"testing"
)

// Listen serves connections, with their numbers from 1, until the test ends.
func Listen(t testing.TB, serve func(n int, conn net.Conn)) (host string, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections sync.WaitGroup
	var mutex sync.Mutex
	var open []net.Conn
	connections.Go(func() {
		for n := 1; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mutex.Lock()
			open = append(open, conn)
			mutex.Unlock()
			connections.Go(func() {
				defer conn.Close()
				serve(n, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mutex.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mutex.Unlock()
		connections.Wait()
	})
	return "127.0.0.1", listener.Addr().(*net.TCPAddr).Port
}
