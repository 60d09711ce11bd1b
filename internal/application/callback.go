package application

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/loopback"
)

// callbackHost is how callback_hosts spells a host: HOST for the usual port, or HOST:PORT.
var callbackHost = lazyregexp.New(
	`^(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)(:[1-9][0-9]{0,4})?$`)

// maxCallback is how long the address of a callback is at most.
const maxCallback = 2000

// ParseCallback reads where an application wants to be called back: by https at one of the hosts
// that are named for it, HOST for the usual port or HOST:PORT. Loopback, also by http, is for a
// service that is itself reached there alone (local). Which address a name has is not looked up:
// whoever calls must look at what is connected to. The error has words for people.
func ParseCallback(address string, hosts []string, local bool) (*url.URL, error) {
	if len(address) > maxCallback || strings.ContainsFunc(address, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' }) {
		return nil, errors.New("the callback is longer than 2,000 characters, or has others than an address has")
	}
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" || u.User != nil || strings.Contains(address, "#") || u.Hostname() == "" ||
		strings.HasSuffix(u.Host, ":") {
		return nil, errors.New("the callback is no address like https://HOST/PATH, without a name of a user and without #")
	}
	own := loopback.Is(u.Hostname())
	switch {
	case own && !local:
		return nil, errors.New("the callback is on this machine")
	case u.Scheme != "https" && !(own && u.Scheme == "http"):
		return nil, errors.New("the callback is not by https")
	}
	if host := CallbackHost(u); !slices.Contains(hosts, host) {
		return nil, fmt.Errorf("the host %s is not among callback_hosts of the application", host)
	}
	return u, nil
}

// CallbackHost is the host of an address as callback_hosts spells it: in small letters, and with
// the port where that is not the usual one.
func CallbackHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	return strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
}
