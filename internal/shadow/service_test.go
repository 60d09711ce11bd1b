package shadow

import (
	"net/http"
	"strings"
	"testing"
)

type passed struct{ calls int }

func (p *passed) RoundTrip(*http.Request) (*http.Response, error) {
	p.calls++
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// Whatever is wrong with a shadow, a call that changes something does not leave it.
func TestOnlyReadsLeave(t *testing.T) {
	for call, want := range map[string]bool{
		"GET /v3/projects/p":                                               true,
		"POST /v3/projects/p:getIamPolicy":                                 true,
		"POST /v1/projects/-/serviceAccounts/a:generateAccessToken":        true,
		"POST /v3/projects/p:setIamPolicy":                                 false,
		"POST /v1/projects/-/serviceAccounts/a:signJwt":                    false,
		"POST /v1/projects/p/topics/t:publish":                             false,
		"POST /api/projects/p/roles/request":                               false,
		"PUT /v3/projects/p:getIamPolicy":                                  false,
		"DELETE /v1/projects/p":                                            false,
		"PATCH /v1/projects/p":                                             false,
		"POST /v3/projects/p:setIamPolicy?x=/v3/projects/p:getIamPolicy":   false,
		"POST /v3/projects/p:setIamPolicy#/v3/projects/p:getIamPolicy":     false,
		"POST /v3/projects/p:setIamPolicy/%3AgetIamPolicy-not-at-the-end/": false,
	} {
		method, path, _ := strings.Cut(call, " ")
		r, err := http.NewRequest(method, "https://example.com"+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		next := &passed{}
		if _, err := ReadOnly(next).RoundTrip(r); (err == nil) != want || (next.calls == 1) != want {
			t.Errorf("%s: %v, %d calls", call, err, next.calls)
		}
	}
}
