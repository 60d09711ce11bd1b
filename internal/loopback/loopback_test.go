package loopback_test

import (
	"testing"

	"jitaccess/internal/loopback"
)

func TestIs(t *testing.T) {
	for _, host := range []string{"localhost", "LocalHost", "127.0.0.1", "127.8.7.6", "::1", "[::1]", "::ffff:127.0.0.1"} {
		if !loopback.Is(host) {
			t.Errorf("%s is another machine", host)
		}
	}
	// Names are resolved by somebody else, and so may lead anywhere.
	for _, host := range []string{"", "localhost.", "localhost.example.com", "localhost:25", "127.0.0.1:25", "127.1", "0x7f000001", "2130706433", "0.0.0.0", "::",
		"10.0.0.1", "127.0.0.1.example.com", "[", "fe80::1", "::ffff:10.0.0.1", "::1%lo", "[::1%evil.example]"} {
		if loopback.Is(host) {
			t.Errorf("%q is this machine", host)
		}
	}
}
