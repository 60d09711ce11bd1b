// Package loopback knows which hosts are this machine: what is said to them leaves
// it by no wire, so that TLS may be missing there and nowhere else.
package loopback

import (
	"net/netip"
	"strings"
)

// Is is whether a host, a name or an address without a port, is this machine. Of
// names only localhost is certain. An IPv6 address may stand in brackets, and has no
// zone.
func Is(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && address.Zone() == "" && address.Unmap().IsLoopback()
}
