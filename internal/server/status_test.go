package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What is counted is the status that was sent: the first one, and not what only informs.
func TestTheStatusThatWasSentIsCounted(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   int
	}{
		"nothing":               {func(http.ResponseWriter, *http.Request) {}, 200},
		"a body alone":          {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") }, 200},
		"a status":              {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 404},
		"a status after a body": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x"); w.WriteHeader(500) }, 200},
		"a status after one":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403); w.WriteHeader(500) }, 403},
		"a status after a hint": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(303) }, 303},
		"a body after a hint":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); io.WriteString(w, "x") }, 200},
		"a stream": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "x")
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
		}, 200},
	} {
		counted := 0
		s := &server{Config: Config{Observe: func(r *http.Request) (context.Context, func(string, int)) {
			return r.Context(), func(_ string, status int) { counted = status }
		}}}
		s.observed(test.answer).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if counted != test.want {
			t.Errorf("%s: %d, want %d", name, counted, test.want)
		}
	}
}
