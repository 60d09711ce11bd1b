package server_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPeopleAreSlowedDownEachOnTheirOwn(t *testing.T) {
	h, _ := serve(t, newWorld(t), nil)
	var last *httptest.ResponseRecorder
	for range 31 {
		last = do(h, request("POST", "/requests/jit-AAAAAAAAAAAAAAAA/end"))
	}
	if last.Code != http.StatusTooManyRequests || last.Header().Get("Retry-After") == "" {
		t.Errorf("the 31st change at once: %d", last.Code)
	}
	if w := do(h, request("GET", "/")); w.Code != 200 {
		t.Errorf("looking is still possible, but: %d", w.Code)
	}
	r := request("POST", "/requests/jit-AAAAAAAAAAAAAAAA/end")
	r.Header.Set(personHeader, string(ben))
	if w := do(h, r); w.Code == http.StatusTooManyRequests {
		t.Error("somebody else is slowed down")
	}
}
