package github

import (
	"context"
	"slices"

	"jitaccess/internal/access"
	"jitaccess/internal/words"
)

// Teller tells GitHub what was decided about deployments.
type Teller struct {
	*Client
	// Link is the page of a request, or empty. Who decided, and why, stands there and not in the
	// comment, which is English and which everybody reads who reads the repository.
	Link func(id string) string
}

// Tell tells of a request as it stands: that it is approved, or that it is rejected, and why. What
// waits, and what was told when it began and is over now, is not told of. Errors are as those of
// Reject.
func (t Teller) Tell(ctx context.Context, a App, r access.Request) error {
	approved, comment := t.decision(r)
	if comment == "" {
		return nil
	}
	state := "rejected"
	if approved {
		state = "approved"
	}
	if t.Link != nil {
		if link := t.Link(r.ID); link != "" {
			comment += "\n\n" + link
		}
	}
	return t.review(ctx, a, r.Asking.Callback, environmentOf(r), state, comment)
}

// Reject rejects a deployment for which there is no request. Errors are *access.Error: one that
// may pass, or mended, MayPass; others not.
func (t Teller) Reject(ctx context.Context, a App, callback, environment, reason string) error {
	return t.review(ctx, a, callback, environment, "rejected", words.English().Text("github.refused", "reason", reason))
}

// decision is what is told of a request; no comment is nothing.
func (t Teller) decision(r access.Request) (approved bool, comment string) {
	l := words.English()
	switch r.State {
	case access.Active:
		if t.Now().Before(r.Window.End) {
			return true, l.Text("github.approved")
		}
		return false, l.Text("github.late")
	case access.Denied:
		return false, l.Text("github.denied")
	case access.Withdrawn:
		return false, l.Text("github.withdrawn")
	case access.Lapsed:
		return false, l.Text("github.lapsed")
	case access.Failed:
		return false, l.Text("github.failed")
	case access.Ended:
		return false, l.Text("github.ended")
	}
	return false, ""
}

// environmentOf is where the deployment of a request waits.
func environmentOf(r access.Request) string {
	at := slices.IndexFunc(r.Asking.Data, func(d access.Datum) bool { return d.Name == Environment })
	if at < 0 {
		return ""
	}
	return r.Asking.Data[at].Value
}
