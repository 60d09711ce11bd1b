package server_test

import (
	"net/http"
	"testing"

	"jitaccess/internal/access"
)

// Whatever an identity provider says, nobody signs in as what stands for somebody whom nobody
// knows.
func TestNobodySignsInAsWhomNobodyKnows(t *testing.T) {
	h, _ := serve(t, newCanned(t), nil)
	for p, want := range map[access.Principal]int{ana: http.StatusOK, access.Spelled("deployer", "ana"): http.StatusUnauthorized} {
		r := request("GET", "/")
		r.Header.Set(personHeader, string(p))
		if w := do(h, r); w.Code != want {
			t.Errorf("%s: %d", p, w.Code)
		}
	}
}
