package sandbox

import (
	"encoding/json"
	"net/url"
	"slices"
	"time"
)

// What the first steps are about: somebody on call, a machine of the shop, a peer.
const (
	storyAsker    = "alice@example.com"
	storyApprover = "bob@example.com"
	storyResource = "projects/shop-orders-prod"
	storyRole     = "roles/compute.instanceAdmin.v1"
	storyReason   = "INC-204: node 7 hangs, restarting it"
)

// story is how far the visitor is with the first steps. It goes by what the program was told that
// listens to webhooks, which is what has happened, whoever did it and by whatever page.
type story struct {
	// Asked, Granted and Ended are when; zero is not yet. End is when the access ends or did.
	Asked, Granted, Ended, End time.Time
	// Refused is that the last request came to nothing, and why, as its type says.
	Refused string
	// Ask is the form, filled in; Review is where the request is decided, Request where it is
	// followed; Policy is where its effect is seen.
	Ask, Review, Request, Policy string
	Asker, Approver              string
}

// Done is how many of the three steps are done.
func (s story) Done() int {
	done := 0
	for _, at := range []time.Time{s.Asked, s.Granted, s.Ended} {
		if !at.IsZero() {
			done++
		}
	}
	return done
}

// Next is the first step that is not done, from 1 on; 4 is that all are.
func (s story) Next() int {
	for i, at := range []time.Time{s.Asked, s.Granted, s.Ended} {
		if at.IsZero() {
			return i + 1
		}
	}
	return 4
}

// happening is what a webhook tells, as far as the steps are concerned.
type happening struct {
	Type      string
	Timestamp time.Time
	Data      struct {
		ID, Requester, URL string
		End                time.Time
	}
}

// story reads what was told, oldest first: a request of the asker that reviewers were asked for
// begins it, and what follows of that request goes on with it.
func (s *Sandbox) story() story {
	ask := url.URL{Path: "/access/" + storyResource, RawQuery: url.Values{
		"role": {storyRole}, "reason": {storyReason}, "minutes": {"30"}}.Encode()}
	told := story{Ask: ask.String(), Review: "/reviews", Request: "/requests", Asker: storyAsker, Approver: storyApprover,
		Policy: "/sandbox/policy?resource=" + storyResource}
	var id string
	for _, m := range slices.Backward(s.chats.Messages()) {
		var h happening
		if m.Service != "Webhook" || json.Unmarshal(m.Raw, &h) != nil {
			continue
		}
		if h.Type == "request.made" && h.Data.Requester == storyAsker && told.Done() != 3 {
			id = h.Data.ID
			told.Asked, told.Granted, told.Ended, told.End, told.Refused = h.Timestamp, time.Time{}, time.Time{}, time.Time{}, ""
			told.Request = "/requests/" + url.PathEscape(id)
			if u, err := url.Parse(h.Data.URL); err == nil && u.Path != "" {
				told.Review = localPath(u.RequestURI())
			}
			continue
		}
		if id == "" || h.Data.ID != id {
			continue
		}
		switch h.Type {
		case "request.granted":
			told.Granted, told.End = h.Timestamp, h.Data.End
		case "grant.ended":
			told.Ended = h.Timestamp
		case "request.denied", "request.withdrawn", "request.lapsed", "request.failed":
			told.Asked, told.Refused, told.Review, told.Request = time.Time{}, h.Type, "/reviews", "/requests"
		}
	}
	return told
}
