package outbound

import (
	"context"
	"net/http"
	"path"
	"strings"
)

// Observer is told when a call begins, and returns what is told when the head of its answer is
// there. It must not block. api is the name of what is called, and what of how: of both there are
// few, and neither is ever an address. The status is that of HTTP or of SMTP; of what has none it
// is OK, and where no answer came, or one that no status says, NoAnswer.
type Observer func(ctx context.Context, api, what string) (answered func(status int))

// What a status is where the protocol has none.
const (
	OK       = 200
	NoAnswer = 0
)

// Status is OK, or of an error NoAnswer.
func Status(err error) int {
	if err != nil {
		return NoAnswer
	}
	return OK
}

type observerKey struct{}

// WithObserver has the calls that are made with the context observed; nil is by nobody.
func WithObserver(ctx context.Context, o Observer) context.Context {
	return context.WithValue(ctx, observerKey{}, o)
}

// Begin tells the observer of the context of a call that is none of a Client's. What is returned
// is called when it has been answered.
func Begin(ctx context.Context, api, what string) (answered func(status int)) {
	if observe, _ := ctx.Value(observerKey{}).(Observer); observe != nil {
		return observe(ctx, api, what)
	}
	return func(int) {}
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
	answered := Begin(r.Context(), o.name(r.URL.Hostname()), o.what(r))
	response, err := base.RoundTrip(r)
	if err != nil {
		answered(NoAnswer)
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

// what is the method: Google's own where the address ends in one (https://google.aip.dev/136), and
// otherwise that of HTTP. With a capital within, it is nothing that people name.
func (o observed) what(r *http.Request) string {
	_, own, found := strings.Cut(path.Base(r.URL.Path), ":")
	if o.api == Google && found && strings.Trim(own, letters) == "" && strings.Trim(own, letters[:26]) != "" && len(own) <= 40 {
		return own
	}
	return r.Method
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
