package callback

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"jitaccess/internal/outbound"
)

// dialTime bounds one connection.
const dialTime = 5 * time.Second

// Reach is which addresses a client connects to besides public ones.
type Reach struct {
	// Loopback is this machine.
	Loopback bool
	// Private are the networks that an organization has for itself; never what a machine is told
	// about itself at link-local addresses.
	Private bool
}

// NewClient returns a client that connects to public addresses, and to what else reach says. It
// looks at the address of the very connection, which no name, however it is resolved, and
// no redirect gets around. It uses no proxy, follows no redirect and keeps no connection.
// resolver may be nil, and is the system's then.
func NewClient(resolver *net.Resolver, reach Reach) *http.Client {
	return outbound.Client("callback", transport(resolver, reach))
}

func transport(resolver *net.Resolver, reach Reach) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTime, Resolver: resolver}
	dialer.ControlContext = func(_ context.Context, network, address string, _ syscall.RawConn) error {
		return mayConnect(network, address, reach)
	}
	return &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: dialTime,
		MaxResponseHeaderBytes: 64 << 10}
}

// mayConnect is nil for an address that may be connected to, as the operating system is about to
// be told.
func mayConnect(network, address string, reach Reach) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%s %s is no address that may be connected to", network, address)
	}
	ip := to.Addr().Unmap()
	if ip.Zone() == "" && (reach.Loopback && ip.IsLoopback() || reach.Private && private(ip)) || public(ip) {
		return nil
	}
	return outbound.NotPublic{Address: ip.String()}
}

// global is what of IPv6 is unicast and public at all; what is special in it is among notPublic.
// https://www.iana.org/assignments/ipv6-unicast-address-assignments
var global = netip.MustParsePrefix("2000::/3")

// notPublic are the addresses for special purposes.
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	// What Azure's machines are told by Azure, which is an address like any other.
	// https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16
	"168.63.129.16/32",
	// Teredo, 6to4 and what else leads to addresses of IPv4; documentation.
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// private is whether an address, which is not mapped, is of networks that an organization has for
// itself: those of RFC 1918 and RFC 6598, and unique local ones; but none at which clouds tell
// their machines secrets.
func private(ip netip.Addr) bool {
	return (ip.IsPrivate() || sharedSpace.Contains(ip)) && !slices.ContainsFunc(metadata, func(p netip.Prefix) bool { return p.Contains(ip) })
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// metadata are the metadata servers among private addresses: of Google Cloud, AWS, which has a network
// for what tells its machines something, Scaleway and Alibaba.
// https://docs.cloud.google.com/compute/docs/metadata/overview
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
// https://github.com/canonical/cloud-init/blob/main/cloudinit/sources/DataSourceScaleway.py
// https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
var metadata = prefixes("fd20:ce::254/128", "fd00:ec2::/32", "fd00:42::42/128", "100.100.100.200/32")

// public is whether an address, which is not mapped, is of the Internet. NAT64 (64:ff9b::/96 and
// 64:ff9b:1::/48), local, link-local and multicast addresses are outside of global.
func public(ip netip.Addr) bool {
	if ip.Zone() != "" || !ip.Is4() && !global.Contains(ip) {
		return false
	}
	for _, special := range notPublic {
		if special.Contains(ip) {
			return false
		}
	}
	return true
}
