package metrics

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// Handler answers GET /metrics of whoever bears the token, and tells refused of the others, with
// what there is to do. Of a token that is wrong nothing is told.
func (r *Registry) Handler(token string, refused func(why string)) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		scheme, text, _ := strings.Cut(q.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(text)))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch {
		case token == "" || !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1:
			why := "its token is not METRICS_TOKEN"
			if q.Header.Get("Authorization") == "" {
				why = "it sent no token"
			}
			refused(why)
			w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
			http.Error(w, "Send METRICS_TOKEN as a bearer token.", http.StatusUnauthorized)
		case q.URL.Path != "/metrics":
			http.Error(w, "There is /metrics alone.", http.StatusNotFound)
		case q.Method != http.MethodGet && q.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "Metrics are only read.", http.StatusMethodNotAllowed)
		default:
			w.Header().Set("Content-Type", ContentType)
			_ = r.Write(q.Context(), w) // who has gone needs no answer
		}
	})
}
