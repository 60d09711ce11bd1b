package application_test

import (
	"strings"
	"testing"

	"jitaccess/internal/application"
)

var callbackHosts = []string{"deploy.example.com", "deploy.example.com:8443", "xn--bcher-kva.example", "localhost:9000", "[::1]:9000", "127.0.0.1"}

func TestCallbacksGoWhereTheyMay(t *testing.T) {
	for _, address := range []string{"https://deploy.example.com", "https://deploy.example.com/done?run=1", "https://DEPLOY.example.com/done",
		"https://deploy.example.com:443/done", "https://deploy.example.com:8443/", "https://xn--bcher-kva.example/x",
		"https://deploy.example.com/" + strings.Repeat("x", 1900)} {
		if u, err := application.ParseCallback(address, callbackHosts, false); err != nil || u == nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"http://localhost:9000/done", "https://localhost:9000/done", "http://[::1]:9000/", "http://127.0.0.1:80/"} {
		if _, err := application.ParseCallback(address, callbackHosts, true); err != nil {
			t.Errorf("%s where the service is on loopback itself: %v", address, err)
		}
		if _, err := application.ParseCallback(address, callbackHosts, false); err == nil {
			t.Errorf("%s where the service is elsewhere: accepted", address)
		}
	}
}

func TestCallbacksThatAreRefused(t *testing.T) {
	for name, address := range map[string]string{
		"nothing":                  "",
		"no scheme":                "deploy.example.com/done",
		"no host":                  "https:///done",
		"a path alone":             "/done",
		"opaque":                   "https:deploy.example.com",
		"by http":                  "http://deploy.example.com/done",
		"by http on the usual one": "http://deploy.example.com:443/done",
		"another scheme":           "file://deploy.example.com/etc/passwd",
		"another host":             "https://evil.example/done",
		"a host below":             "https://a.deploy.example.com/done",
		"a host that begins so":    "https://deploy.example.com.evil.example/done",
		"a host with a dot behind": "https://deploy.example.com./done",
		"another port":             "https://deploy.example.com:9443/done",
		"port 0":                   "https://deploy.example.com:0/done",
		"a port that is empty":     "https://deploy.example.com:/done",
		"a port that is none":      "https://deploy.example.com:x/done",
		"a port with a zero":       "https://deploy.example.com:0443/done",
		"a user":                   "https://deploy.example.com@evil.example/done",
		"a user of the host":       "https://user@deploy.example.com/done",
		"a user and a password":    "https://user:password@deploy.example.com/done",
		"a user that is empty":     "https://@deploy.example.com/done",
		"a fragment":               "https://deploy.example.com/done#there",
		"a fragment that is empty": "https://deploy.example.com/done#",
		"a backslash":              `https://evil.example\@deploy.example.com/done`,
		"a blank":                  "https://deploy.example.com/a b",
		"a line break":             "https://deploy.example.com/\r\nHost: evil.example",
		"a letter beyond ASCII":    "https://deploy.example.com/ü",
		"a host beyond ASCII":      "https://deploy．example.com/",
		"an escaped host":          "https://deploy%2eexample.com/",
		"metadata by name":         "https://metadata.google.internal/computeMetadata/v1/",
		"metadata by address":      "http://169.254.169.254/latest/meta-data/",
		"loopback by number":       "http://2130706433/",
		"too long":                 "https://deploy.example.com/" + strings.Repeat("x", 2000),
	} {
		for _, local := range []bool{false, true} {
			if u, err := application.ParseCallback(address, callbackHosts, local); err == nil || u != nil {
				t.Errorf("%s: %q is accepted", name, address)
			}
		}
	}
	if _, err := application.ParseCallback("https://deploy.example.com/", nil, true); err == nil {
		t.Error("where no host is named, it is accepted")
	}
	// What is on this machine needs to be named like all else.
	if _, err := application.ParseCallback("http://localhost:9001/", callbackHosts, true); err == nil {
		t.Error("another port of this machine is accepted")
	}
}
