package outbound

import (
	"context"
	"net/http"
	"strings"
)

// Observer is told when a call begins, and returns what is told when the head of its answer is
// there: the status, or 0 where no answer came. It must not block. api is the name of what is
// called, of which there are few, and never an address.
type Observer func(api string) (answered func(status int))

type observerKey struct{}

// WithObserver has the calls that are made with the context observed.
func WithObserver(ctx context.Context, o Observer) context.Context {
	return context.WithValue(ctx, observerKey{}, o)
}

// observed tells the observer of the context of each call.
type observed struct {
	api  string
	base http.RoundTripper
}

func (o observed) RoundTrip(r *http.Request) (*http.Response, error) {
	base := o.base
	if base == nil {
		base = http.DefaultTransport
	}
	observe, ok := r.Context().Value(observerKey{}).(Observer)
	if !ok {
		return base.RoundTrip(r)
	}
	answered := observe(o.name(r.URL.Hostname()))
	response, err := base.RoundTrip(r)
	if err != nil {
		answered(0)
	} else {
		answered(response.StatusCode)
	}
	return response, err
}

// Google is the api of clients that call several of Google's, which are then told apart by their
// hosts. A stand-in for all of them is only that.
const Google = "google"

func (o observed) name(host string) string {
	if service, ok := strings.CutSuffix(host, ".googleapis.com"); ok && o.api == Google && !strings.Contains(service, ".") {
		return service
	}
	return o.api
}
