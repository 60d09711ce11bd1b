package webhook

import (
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
)

// bodyVersion is of the bodies that are sent; see docs/openapi.yaml.
const bodyVersion = 1

// message is what is sent. Members may be added, and none changes what it means, within a version.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Version   int       `json:"version"`
	Data      data      `json:"data"`
}

// data says of which request it is, and little else: whoever wants to know more asks, as
// somebody who may.
type data struct {
	ID          string     `json:"id,omitempty"`
	Requester   string     `json:"requester,omitempty"`
	Resource    string     `json:"resource,omitempty"`
	Roles       []string   `json:"roles,omitempty"`
	Application string     `json:"application,omitempty"`
	Reviewers   []string   `json:"reviewers,omitempty"`
	By          string     `json:"by,omitempty"`
	Start       *time.Time `json:"start,omitempty"`
	End         *time.Time `json:"end,omitempty"`
	URL         string     `json:"url,omitempty"`
}

// typeOf names what a notice is of; empty for what is not told.
func typeOf(n access.Notice) string {
	switch n.Kind {
	case access.NoticeReview:
		if n.Did == access.ReviewersAdded {
			return "request.reviewers_added"
		}
		return "request.made"
	case access.NoticeApproved, access.NoticeSelfApproved:
		return "request.granted"
	case access.NoticeDenied:
		return "request.denied"
	case access.NoticeWithdrawn:
		return "request.withdrawn"
	case access.NoticeEnding:
		return "grant.expiring"
	case access.NoticeEnded:
		return "grant.ended"
	case access.NoticeGlass:
		return "glass.broken"
	case access.NoticeGlassReviewed:
		return "glass.reviewed"
	case access.NoticeBounced:
		return "mail.bounced"
	case access.NoticeHappened:
		return happened[n.Did]
	case notice.TestMessage:
		return "test"
	}
	return ""
}

var happened = map[access.Action]string{
	access.RequestApproved: "request.approved", // one of several
	access.RequestLapsed:   "request.lapsed",
	access.GrantFailed:     "request.failed",
	access.GrantEnded:      "grant.ended",
	access.GrantExpired:    "grant.ended",
}

// compose is what is sent of a notice; nothing where no type stands for it.
func compose(n access.Notice) (any, error) {
	kind, r := typeOf(n), n.Request
	if kind == "" {
		return nil, nil
	}
	d := data{ID: r.ID, Requester: string(r.Principal), Resource: string(r.Resource), Application: r.Asking.Application,
		By: by(n), URL: n.ReviewURL}
	for _, e := range r.Entitlements {
		d.Roles = append(d.Roles, string(e.Role))
	}
	for _, p := range r.Reviewers {
		d.Reviewers = append(d.Reviewers, string(p))
	}
	if !n.Window.IsZero() {
		d.Start, d.End = new(n.Window.Start.UTC()), new(n.Window.End.UTC())
	}
	return message{kind, n.At.UTC(), bodyVersion, d}, nil
}

// by is who did it; nobody for what happens by itself.
func by(n access.Notice) string {
	switch {
	case n.By != "":
		return string(n.By)
	case n.Decision.By != "":
		return string(n.Decision.By)
	case n.Kind == access.NoticeReview && !n.Request.Asking.IsZero():
		return string(access.OfApplication(n.Request.Asking.Application))
	case n.Kind == access.NoticeReview || n.Kind == access.NoticeSelfApproved || n.Kind == access.NoticeGlass:
		return string(n.Request.Principal)
	}
	return ""
}
