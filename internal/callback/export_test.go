package callback

import (
	"net"
	"net/netip"
)

// MayConnect is mayConnect as the operating system is told of an address.
func MayConnect(address string, reach Reach) error {
	network := "tcp6"
	if netip.MustParseAddr(address).Is4() {
		network = "tcp4"
	}
	return mayConnect(network, net.JoinHostPort(address, "443"), reach)
}

// Transport is what clients connect by.
var Transport = transport
