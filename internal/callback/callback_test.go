package callback_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"jitaccess/internal/callback"
	"jitaccess/internal/callback/callbacktest"
	"jitaccess/internal/outbound"
)

var (
	newest = []byte("a key of thirty-two bytes or so.")
	older  = []byte("another key of 32 bytes, older.")
	body   = []byte(`{"type":"approval.approved","data":{"id":"mpa-1"}}`)
)

func message(url string) callback.Message {
	return callback.Message{ID: "msg-1", URL: url, Body: body, Keys: [][]byte{newest, older}}
}

func TestCallbacksAreStandardWebhooks(t *testing.T) {
	var header http.Header
	var got []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		got, _ = io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/done" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
	}))
	t.Cleanup(server.Close)
	now := time.Now()
	s := callback.Sender{Client: callback.NewClient(nil, callback.Reach{Loopback: true}), Now: func() time.Time { return now }}
	if err := s.Send(t.Context(), message(server.URL+"/done")); err != nil {
		t.Fatal(err)
	}
	if string(got) != string(body) || header.Get("Content-Type") != "application/json" || header.Get("Webhook-Id") != "msg-1" {
		t.Errorf("%s, %v", got, header)
	}
	if header.Get("Authorization")+header.Get("Cookie") != "" {
		t.Errorf("it carries credentials: %v", header)
	}
	// The library that receivers use, with the text of a key as its owner has it.
	for name, key := range map[string][]byte{"the newest": newest, "the older": older} {
		verifier, err := standardwebhooks.NewWebhook(base64.StdEncoding.EncodeToString(key))
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(got, header); err != nil {
			t.Errorf("with %s key: %v", name, err)
		}
		if err := verifier.Verify(append(got, ' '), header); err == nil {
			t.Errorf("with %s key another body is fine", name)
		}
		forged := header.Clone()
		forged.Set("Webhook-Id", "msg-2")
		if err := verifier.Verify(got, forged); err == nil {
			t.Errorf("with %s key another id is fine", name)
		}
	}
	stranger, _ := standardwebhooks.NewWebhook(base64.StdEncoding.EncodeToString([]byte("a key of another application 32.")))
	if err := stranger.Verify(got, header); err == nil {
		t.Error("it is signed with the key of another application")
	}
}

func TestWhatApplicationsAnswer(t *testing.T) {
	for status, taken := range map[int]bool{200: true, 202: true, 204: true, 410: false, 400: false, 401: false, 404: false, 429: false, 500: false, 503: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if status != 204 {
				_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
			}
		}))
		t.Cleanup(server.Close)
		err := callback.Sender{Client: callback.NewClient(nil, callback.Reach{Loopback: true}), Now: time.Now}.Send(t.Context(), message(server.URL))
		if (err == nil) != taken {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestWhatCannotBeSignedIsNotSent(t *testing.T) {
	s := callback.Sender{Client: &http.Client{Transport: unreachable{t}}, Now: time.Now}
	for name, m := range map[string]callback.Message{"no key": {ID: "msg-1", URL: "https://x.example"}, "no id": {URL: "https://x.example", Keys: [][]byte{newest}}} {
		if s.Send(t.Context(), m) == nil {
			t.Errorf("%s: sent", name)
		}
	}
}

type unreachable struct{ t *testing.T }

func (u unreachable) RoundTrip(r *http.Request) (*http.Response, error) {
	u.t.Errorf("%s was sent", r.URL)
	return nil, errors.New("sent")
}

// A redirect is an answer like any other, and no way to somewhere else.
func TestCallbacksFollowNoRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		t.Cleanup(server.Close)
		if err := (callback.Sender{Client: callback.NewClient(nil, callback.Reach{Loopback: true}), Now: time.Now}).Send(t.Context(), message(server.URL)); err == nil {
			t.Errorf("%d counts as taken", status)
		}
	}
}

// What the environment says of proxies would send what goes out through somebody who resolves
// names anew.
func TestCallbacksUseNoProxy(t *testing.T) {
	transport := callback.Transport(nil, callback.Reach{})
	if transport.Proxy != nil || !transport.DisableKeepAlives {
		t.Error("a proxy, or a kept connection, could be used")
	}
}

// The addresses that names lead to, whatever they are called: threat lists of request forgery.
func TestCallbacksConnectToPublicAddressesAlone(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "0.0.0.0", "0.1.2.3", "::", // this machine
		"169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "169.254.170.2", // metadata
		"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fdff::1", "fec0::1", // private
		"100.64.0.1", "100.127.255.255", // shared by carriers
		"169.254.0.1", "fe80::1", // link-local
		"224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1", "ff02::1", "ff0e::1", // many, and reserved
		"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "192.88.99.1", "2001:db8::1", "3fff::1", // special
		"64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a9fe:a9fe", // by NAT64
		"::169.254.169.254", "::ffff:0:10.0.0.1", "2002:a9fe:a9fe::1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "5f00::1", // embedded
	} {
		if err := callback.MayConnect(address, callback.Reach{}); err == nil {
			t.Errorf("%s may be connected to", address)
		}
	}
	for _, address := range []string{"8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.0.1", "169.253.1.1",
		"198.17.0.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8"} {
		if err := callback.MayConnect(address, callback.Reach{}); err != nil {
			t.Errorf("%s is refused: %v", address, err)
		}
	}
	for address, may := range map[string]bool{"127.0.0.1": true, "::1": true, "::ffff:127.0.0.1": true, "169.254.169.254": false, "10.0.0.1": false, "0.0.0.0": false, "::": false} {
		if err := callback.MayConnect(address, callback.Reach{Loopback: true}); (err == nil) != may {
			t.Errorf("%s where the service is on loopback itself: %v", address, err)
		}
	}
}

// A name may lead anywhere, and somewhere else when it is looked up again: what counts is the
// address of the connection.
func TestNamesThatLeadInside(t *testing.T) {
	var reached atomic.Bool
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(inside.Close)
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	for name, answers := range map[string][]string{
		"at once":                 {"127.0.0.1"},
		"mapped":                  {"::ffff:127.0.0.1"},
		"when looked up again":    {"93.184.216.34", "127.0.0.1"},
		"by IPv6":                 {"::1"},
		"to metadata":             {"169.254.169.254"},
		"to metadata by IPv6":     {"fd20:ce::254"},
		"to metadata, the second": {"93.184.216.34", "169.254.169.254"},
	} {
		names := callbacktest.New(answers...)
		if len(answers) > 1 { // somebody has looked before, and found nothing wrong
			found, err := names.Net().LookupNetIP(t.Context(), "ip", "rebound.example")
			if err != nil || !found[0].Unmap().IsGlobalUnicast() {
				t.Fatal(found, err)
			}
			names.Turn()
		}
		transport := callback.Transport(names.Net(), callback.Reach{})
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		client := outbound.Client("callback", transport)
		err := callback.Sender{Client: client, Now: time.Now}.Send(t.Context(), message("https://rebound.example:"+port+"/"))
		if err == nil || !strings.Contains(err.Error(), "not a public address") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if reached.Load() {
		t.Error("what is inside was reached")
	}
}

// What docs/applications.md has for who verifies a callback does that, and nothing less.
func TestTheCodeOfTheDocumentVerifies(t *testing.T) {
	document, err := os.ReadFile("../../docs/applications.md")
	if err != nil {
		t.Fatal(err)
	}
	var code string
	for _, block := range regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(string(document), -1) {
		if strings.Contains(block[1], "def verified(") {
			code = block[1]
		}
	}
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		key   []byte
		at    time.Time
		body  string
		prove string
	}{"as it was sent": {newest, time.Now(), string(body), "True"}, "with the key before": {older, time.Now(), string(body), "True"},
		"another key": {[]byte("a key of another application 32."), time.Now(), string(body), "False"}, "another body": {newest, time.Now(), "{}", "False"},
		"an hour old": {newest, time.Now().Add(-time.Hour), string(body), "False"}} {
		s := callback.Sender{Client: callback.NewClient(nil, callback.Reach{Loopback: true}), Now: func() time.Time { return c.at }}
		if err := s.Send(t.Context(), message(server.URL)); err != nil {
			t.Fatal(err)
		}
		headers, _ := json.Marshal(map[string]string{"Webhook-Id": header.Get("Webhook-Id"), "Webhook-Timestamp": header.Get("Webhook-Timestamp"),
			"Webhook-Signature": header.Get("Webhook-Signature")})
		command := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", code+"\nimport json, sys\nprint(verified(json.loads(sys.argv[1]), sys.argv[2].encode()))",
			string(headers), c.body)
		command.Env = []string{"APP_KEY=" + base64.StdEncoding.EncodeToString(c.key)}
		if said, err := command.CombinedOutput(); err != nil || strings.TrimSpace(string(said)) != c.prove {
			t.Errorf("%s: %v: %s", name, err, said)
		}
	}
}

// An operator may let webhooks into their own networks, and never to what a machine is told
// secrets by.
func TestPrivateAddressesWhereTheyAreAllowed(t *testing.T) {
	for address, may := range map[string]bool{"10.0.0.1": true, "192.168.1.1": true, "172.16.0.1": true, "100.64.0.1": true, "fd12::1": true, "8.8.8.8": true,
		"::ffff:10.0.0.1": true, "127.0.0.1": false, "::1": false, "169.254.169.254": false, "169.254.1.1": false, "fe80::1": false, "fd00:ec2::254": false,
		"fd20:ce::254": false, "100.100.100.200": false, "168.63.129.16": false, "0.0.0.0": false, "224.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "fec0::1": false} {
		if err := callback.MayConnect(address, callback.Reach{Private: true}); (err == nil) != may {
			t.Errorf("%s: %v", address, err)
		}
	}
}
