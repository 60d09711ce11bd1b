package server

import (
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
)

// Platform is what is known of where the service runs, to judge whether the host
// that a request names is certainly ours. Whoever sends a request writes its Host
// header, and links in mails are made of it; so a host counts only when it cannot
// lead to anybody else. The zero value trusts no host.
type Platform struct {
	// AppEngine: the default hosts of project ProjectID are ours.
	AppEngine bool
	// CloudRun: the default host of Service in Region, of project ProjectNumber,
	// is ours.
	CloudRun                                  bool
	ProjectID, ProjectNumber, Region, Service string
	// Loopback: hosts that lead to this machine are ours, over plain HTTP. Only
	// for the sandbox.
	Loopback bool
}

var (
	// Project ids and service names as they may stand in a host name.
	hostLabel = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	// Port 443 may be spelled out.
	portOfHTTPS = ":443"
)

// origin is the scheme and host for links, or "" when none can be trusted.
// X-Forwarded-* headers are never read.
func (s *server) origin(r *http.Request) string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	return s.Platform.origin(r.Host)
}

func (p Platform) origin(host string) string {
	if p.Loopback && isLoopback(host) {
		return "http://" + host
	}
	name := strings.TrimSuffix(strings.ToLower(host), portOfHTTPS)
	if p.AppEngine && hostLabel.MatchString(p.ProjectID) {
		// PROJECT.appspot.com, and PROJECT.REGION_ID.r.appspot.com.
		rest, ok := strings.CutPrefix(name, p.ProjectID+".")
		region, regional := strings.CutSuffix(rest, ".r.appspot.com")
		if ok && (rest == "appspot.com" || regional && hostLabel.MatchString(region)) {
			return "https://" + name
		}
	}
	if p.CloudRun && p.Service != "" && p.ProjectNumber != "" && p.Region != "" &&
		name == p.Service+"-"+p.ProjectNumber+"."+p.Region+".run.app" {
		return "https://" + name
	}
	return ""
}

// isLoopback is whether a Host header leads to this machine. Strict: it becomes
// part of links.
func isLoopback(host string) bool {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if port == "" || strings.Trim(port, "0123456789") != "" {
			return false
		}
		name = h
	}
	if name == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && addr.Zone() == "" && addr.IsLoopback()
}
