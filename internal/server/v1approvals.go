package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/bearer"
	"jitaccess/internal/broker"
	"jitaccess/internal/jose"
	"jitaccess/internal/passkey"
)

// approval is a request, as the application that made it sees it. Instants are RFC 3339, in
// UTC; lists are never null.
type approval struct {
	ID string `json:"id"`
	// Status is "pending", which means wait, "approved", which means go, or a word that means
	// stop.
	Status   string `json:"status"`
	Template string `json:"template"`
	Subject  string `json:"subject"`
	// URL is the page on which people decide.
	URL string `json:"url,omitempty"`
	// Expires is when it can no longer be decided. Interval is how many seconds to wait between
	// looks at it that do not wait themselves.
	Expires   string            `json:"expires"`
	Interval  int               `json:"interval"`
	Decisions []approvalVerdict `json:"decisions"`
	Window    *approvalWindow   `json:"window"`
	Metadata  map[string]string `json:"metadata"`
	// These are there while it is approved.
	AccessToken string `json:"access_token,omitempty"`
	TokenType   string `json:"token_type,omitempty"`
	ExpiresIn   int    `json:"expires_in,omitempty"`
	// Warnings are troubles that came after what was recorded.
	Warnings []approvalWarning `json:"warnings"`
}

type approvalVerdict struct {
	By      access.Principal `json:"by"`
	Verdict string           `json:"verdict"`
	At      string           `json:"at"`
	Comment string           `json:"comment,omitempty"`
	Signed  bool             `json:"signed"`
}

type approvalWindow struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

type approvalWarning struct {
	Code    access.Code `json:"code"`
	Message string      `json:"message"`
}

const (
	// statusPending and statusApproved are the words that an application must know; every other
	// one means that there is no access.
	waitOn, goOn = "pending", "approved"
	// approvalInterval is how many seconds to wait between looks, and maxWait how many a look
	// may wait itself: an action has no more.
	approvalInterval = 5
	maxWait          = 25
)

// approvalStatus is the state of a request in words for applications. What is approved and not
// yet written can still fail, and is waited for.
func approvalStatus(state access.State) string {
	switch state {
	case access.Pending, access.Approved, access.Scheduled:
		return waitOn
	case access.Active:
		return goOn
	}
	return string(state)
}

// approvalOf is a request as it stands now.
func (s *server) approvalOf(r *http.Request, q access.Request, warnings []*access.Error) (approval, error) {
	now := s.Now()
	q.State = q.StateAt(now)
	a := approval{ID: q.ID, Status: approvalStatus(q.State), Template: q.Asking.Template, Subject: q.Asking.Subject, Expires: stamp(q.Expires),
		Interval: approvalInterval, Decisions: []approvalVerdict{}, Metadata: q.Asking.Metadata, Warnings: []approvalWarning{}}
	if origin := s.origin(r); origin != "" {
		a.URL = origin + requestPath(q.ID)
	}
	if a.Metadata == nil {
		a.Metadata = map[string]string{}
	}
	for _, d := range q.Decisions {
		a.Decisions = append(a.Decisions, approvalVerdict{By: d.By, Verdict: string(d.Verdict), At: stamp(d.At), Comment: d.Comment,
			Signed: signed(q, d)})
	}
	if q.Unattested {
		warnings = append([]*access.Error{{Kind: access.Unprocessable, Code: access.CodeUnattested}}, warnings...)
	}
	for _, w := range warnings {
		a.Warnings = append(a.Warnings, approvalWarning{w.Code, inFull(s.refusal(r, w, q.Resource))})
	}
	if !q.Window.IsZero() {
		a.Window = &approvalWindow{stamp(q.Window.Start), stamp(q.Window.End)}
	}
	if a.Status != goOn {
		return a, nil
	}
	token, err := s.Applications.Tokens.Sign(s.accessOf(r, q, now))
	if err != nil {
		return approval{}, err
	}
	a.AccessToken, a.TokenType, a.ExpiresIn = token, "Bearer", int(q.Window.End.Sub(now)/time.Second)
	s.logCollected(r, q)
	return a, nil
}

// accessOf is what the access token of an active request says.
func (s *server) accessOf(r *http.Request, q access.Request, now time.Time) bearer.Access {
	data := map[string]string{}
	for _, d := range q.Asking.Data {
		data[d.Name] = d.Value
	}
	said := bearer.Approval{Approvers: []string{}, Signed: true, DataDigest: bearer.DataDigest(data)}
	for _, p := range q.ApprovedBy() {
		said.Approvers = append(said.Approvers, string(p))
		said.Signed = said.Signed && signed(q, *q.DecisionOf(p))
	}
	return bearer.Access{Issuer: s.issuer(r), Audience: authenticationOf(r).URI, Subject: q.Asking.Subject, Client: q.Asking.Application,
		Scope: q.Asking.Template, ID: q.ID, IssuedAt: now.Unix(), NotBefore: q.Window.Start.Unix(), Expires: q.Window.End.Unix(), Approval: said}
}

// signed is whether somebody has signed what they said, by what their passkey signed: that it was
// theirs was looked up when they said it, and is in what the service has signed then.
func signed(q access.Request, d access.Decision) bool {
	return !q.Unattested && d.Evidence != nil && d.Digest == q.Digest() && passkey.Verify(*d.Evidence, passkey.Of(d)) == nil
}

// createApproval asks for approval. The same again is the same: by the key that the application
// gave it, or else by the token.
func (s *server) createApproval(r *http.Request) (any, error) {
	ask, err := readAsking(r)
	if err != nil {
		return nil, err
	}
	said := authenticationOf(r)
	if ask.Key, err = idempotencyKey(r, said.ID); err != nil {
		return nil, err
	}
	ask.Application, ask.Subject, ask.Claims = said.Application, said.Subject, said.Claims
	ask.Origin, ask.Host = s.origin(r), r.Host
	asked, err := s.Applications.Broker.AskFor(r.Context(), callerOf(r), ask)
	if err != nil {
		return nil, err
	}
	a, err := s.approvalOf(r, asked.Request, asked.Warnings)
	a.URL = cmp.Or(asked.ReviewURL, a.URL)
	return a, err
}

// maxKey is the longest key that an application gives what it asks for, in bytes.
const maxKey = 255

// idempotencyKey is what tells a request from others of the application: a key of its own, which
// outlives tokens, or what tells the token from others.
func idempotencyKey(r *http.Request, token string) (string, error) {
	given := r.Header.Values("Idempotency-Key")
	if len(given) == 0 {
		return token, nil
	}
	visible := strings.IndexFunc(given[0], func(c rune) bool { return c < ' ' || c > '~' }) < 0
	if len(given) > 1 || given[0] == "" || len(given[0]) > maxKey || !visible {
		return "", badInput("Idempotency-Key must be there once, with 1 to 255 visible characters of ASCII", nil)
	}
	return "key:" + given[0], nil
}

// readAsking reads what is asked for. Every member is known, and there once.
func readAsking(r *http.Request) (ask broker.AskFor, err error) {
	if err := accepted(r, "application/json"); err != nil {
		return ask, err
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return ask, bodyError("the body cannot be read", err)
	}
	body, err := jose.ParseClaims(text)
	if err != nil {
		return ask, badInput("the body is not the JSON object that belongs here: "+err.Error(), err)
	}
	for name, value := range body {
		switch name {
		case "template":
			ask.Template, err = body.String(name)
		case "reason":
			ask.Reason, err = body.String(name)
		case "callback":
			ask.Callback, err = body.String(name)
		case "minutes":
			ask.Minutes, err = wholeMinutes(value)
		case "data":
			ask.Data, err = texts(body)
		default:
			return ask, misplaced(name, printable(name)+" is nothing that is known here")
		}
		if err != nil {
			at := name
			if own, ok := errors.AsType[datumError](err); ok {
				at = application.PathOf(own.name)
			}
			return ask, misplaced(at, printable(at)+" is not what it must be: "+mustBe[name])
		}
	}
	if body["template"] == nil {
		return ask, misplaced("template", "template is missing")
	}
	return ask, nil
}

var mustBe = map[string]string{"template": "a text", "reason": "a text", "callback": "a text", "data": "an object of texts",
	"minutes": "a whole number above 0"}

func misplaced(field, reason string) error {
	e := access.AsError(badInput(reason, nil))
	e.Field = printable(field)
	return e
}

// wholeMinutes reads a number of minutes. Where none is wanted in particular, none is sent.
func wholeMinutes(value json.RawMessage) (int, error) {
	n, err := strconv.Atoi(string(value))
	if err == nil && (n < 1 || n > maxMinutes) {
		err = strconv.ErrRange
	}
	return n, err
}

// texts reads an object of texts.
func texts(body jose.Claims) (map[string]string, error) {
	data, err := body.Object("data")
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for name := range data {
		if all[name], err = data.String(name); err != nil {
			return nil, datumError{name}
		}
	}
	return all, nil
}

// datumError is that a value of data is no text.
type datumError struct{ name string }

func (d datumError) Error() string { return printable(d.name) + " is no text" }

// theirs is a request of the application that calls. To whom it is not theirs, it is not there.
func (s *server) theirs(r *http.Request, id string) (access.Request, error) {
	q, err := s.Applications.Broker.ForApplication(r.Context(), callerOf(r), id)
	if e := access.AsError(err); e != nil && e.Kind == access.NotFound {
		err = &access.Error{Kind: access.NotFound, Code: access.CodeNotFound, Err: e}
	}
	return q, err
}

// withdrawApproval takes back what is not decided. There is nothing to say with it.
func (s *server) withdrawApproval(r *http.Request, id string) (any, error) {
	if _, err := s.theirs(r, id); err != nil {
		return nil, err
	}
	q, warnings, err := s.Applications.Broker.Withdraw(r.Context(), callerOf(r), id, s.origin(r))
	if err != nil {
		return nil, err
	}
	return s.approvalOf(r, q, warnings)
}
