// Package porttest finds ports for servers that tests start as processes of their own.
package porttest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Free returns a TCP port of the loopback address that nobody listens at. It is not among
// those that the system gives to whoever asks for any port
// (net.ipv4.ip_local_port_range, 32768 to 60999 by default): with these it would be
// somebody else's now and then before the server begins, or between its end and its next
// begin.
func Free(t testing.TB) string {
	t.Helper()
	var failed error
	for range 100 {
		port := strconv.Itoa(15_000 + rand.IntN(15_000))
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			listener.Close()
			return port
		}
		failed = err
	}
	t.Fatal(failed)
	return ""
}
