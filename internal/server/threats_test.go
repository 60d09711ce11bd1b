package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// No address is a way around the pace, one that leads nowhere neither.
func TestWhatIsNotThereIsPacedToo(t *testing.T) {
	for name, c := range map[string]struct {
		method, path string
		often        int
	}{
		"no such page":     {"GET", "/nowhere", 100},
		"no such call":     {"GET", "/api/nowhere", 100},
		"no such method":   {"PUT", "/api/policy", 100},
		"no such change":   {"POST", "/nowhere", 30},
		"a page to change": {"POST", "/reviews", 30},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := serve(t, newWorld(t), nil)
			for i := range c.often {
				if got := do(h, request(c.method, c.path)).Code; got != http.StatusNotFound && got != http.StatusMethodNotAllowed {
					t.Fatalf("the %dth: %d", i+1, got)
				}
			}
			if got := do(h, request(c.method, c.path)).Code; got != http.StatusTooManyRequests {
				t.Errorf("one more: %d", got)
			}
		})
	}
}

// Threat 23, approval fatigue: there is no way to approve several requests at once, and
// nobody decides faster than a person can read, be it by page or by script.
func TestThreat23_ApprovalsAreOneAtATimeAndPaced(t *testing.T) {
	sent := func(path, mediaType, body string) *http.Request {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header = request("POST", "/").Header
		r.Host = "access.example.com"
		r.Header.Set("Content-Type", mediaType)
		r.Header.Set(personHeader, string(ben))
		return r
	}
	const aForm, aScript = "application/x-www-form-urlencoded", "application/json"
	f := newWorld(t)
	h, _ := serve(t, f, nil)
	for name, r := range map[string]*http.Request{
		"two links":           sent("/review?activation=a&activation=b", aForm, "verdict=approve"),
		"two verdicts":        sent("/review?activation=a", aForm, "verdict=approve&verdict=approve"),
		"two digests":         sent("/review?activation=a", aForm, "verdict=approve&digest=x&digest=y"),
		"no link":             sent("/review", aForm, "verdict=approve&activation=a&activation=b"),
		"two links, a script": sent("/api/activation-request?activation=a&activation=b", aScript, "{}"),
		"links in the body":   sent("/api/activation-request", aScript, `{"activation":["a","b"]}`),
	} {
		if got := do(h, r).Code; got != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got)
		}
	}
	if f.changes != 0 {
		t.Error("the broker was asked")
	}
	for path, body := range map[string]string{"/review?activation=a": "verdict=approve&confirmed=1", "/api/activation-request?activation=a": ""} {
		h, _ := serve(t, newWorld(t), nil)
		for i := range 31 {
			got := do(h, sent(path, aForm, body)).Code
			if tooFast := got == http.StatusTooManyRequests; tooFast != (i == 30) {
				t.Errorf("%s, the %dth decision at once: %d", path, i+1, got)
			}
		}
	}
}

// Threat 8: what cannot be read whole is not read in part, where another reader might
// see something else.
func TestThreat08_InputIsReadWholeOrNotAtAll(t *testing.T) {
	f := newWorld(t)
	h, _ := serve(t, f, nil)
	for name, c := range map[string]struct{ method, path, mediaType, body string }{
		"a bad escape in the address":       {"GET", "/review?activation=a&x=%zz", "", ""},
		"a semicolon in the address":        {"GET", "/review?activation=a;activation=b", "", ""},
		"a semicolon, when deciding":        {"POST", "/review?activation=a;x=b", "application/x-www-form-urlencoded", "verdict=approve"},
		"a semicolon, to a script":          {"POST", "/api/activation-request?activation=a;x=b", "application/json", "{}"},
		"a bad escape in a form":            {"POST", "/review?activation=a", "application/x-www-form-urlencoded", "verdict=approve&digest=%zz"},
		"a semicolon in a form":             {"POST", "/review?activation=a", "application/x-www-form-urlencoded", "verdict=approve;digest=x"},
		"a field twice":                     {"POST", "/requests/jit-AAAAAAAAAAAAAAAA/end", "application/x-www-form-urlencoded", "resource=projects/a&resource=projects/b"},
		"two objects":                       {"POST", "/api/activation-request/deny?activation=a", "application/json", `{"comment":"x"}{"comment":"y"}`},
		"not UTF-8":                         {"POST", "/api/activation-request/deny?activation=a", "application/json", "{\"comment\":\"\xff\"}"},
		"something after the object":        {"POST", "/api/activation-request/deny?activation=a", "application/json", `{"comment":"x"} x`},
		"another type than the field's":     {"POST", "/api/activation-request/deny?activation=a", "application/json", `{"comment":["x"]}`},
		"an array in place of the object":   {"POST", "/api/requests/jit-AAAAAAAAAAAAAAAA/end", "application/json", `[{"resource":"projects/a"}]`},
		"null in place of the object":       {"POST", "/api/activation-request/deny?activation=a", "application/json", `null`},
		"fields of the form in the address": {"POST", "/requests/jit-AAAAAAAAAAAAAAAA/end?resource=projects/acme-orders-prod", "application/x-www-form-urlencoded", ""},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header = request(c.method, "/").Header
		r.Host = "access.example.com"
		r.Header.Set("Content-Type", c.mediaType)
		if got := do(h, r).Code; got != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got)
		}
	}
	if f.changes != 0 {
		t.Error("the broker was asked")
	}
}
