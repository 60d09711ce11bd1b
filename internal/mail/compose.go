package mail

import (
	"bytes"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"strings"
	texttemplate "text/template"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/loopback"
)

//go:embed templates
var templates embed.FS

var (
	textLetter = texttemplate.Must(texttemplate.ParseFS(templates, "templates/letter.txt"))
	htmlLetter = htmltemplate.Must(htmltemplate.ParseFS(templates, "templates/letter.html"))
)

// letter is a mail, ready but for its encoding.
type letter struct {
	to, cc []string
	// by is who did what it tells of.
	by      access.Principal
	subject string
	// id and inReplyTo are message ids without angle brackets; inReplyTo is empty
	// for the first mail of a request.
	id, inReplyTo string
	date          time.Time
	// body is rendered when the letter is encoded; until then text and html are empty.
	body       *content
	text, html string
}

// content is what the templates show: the same words in both parts.
type content struct {
	Heading, Intro string
	Rows           []row
	// URL is empty where there is no link; then there is no button either.
	Button, URL string
	Notes       []string
	Home        string
}

// row is one fact. Details stand under it, in smaller print.
type row struct {
	Label, Value string
	Details      []string
}

// composer turns notices into letters. It does no I/O and has no clock.
type composer struct {
	location *time.Location
	domain   string
	// replyTo is where replies go; empty where nobody reads them.
	replyTo string
}

// compose writes the letter for a notice, without its recipients. User text goes
// into the body alone; the headers are made of fixed words, the request's id, its
// principal and its resource, all of which are checked again.
func (c composer) compose(n access.Notice, now time.Time) (letter, error) {
	if err := checkNotice(n); err != nil {
		return letter{}, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: fmt.Errorf("mail: compose: %w", err)}
	}
	id := messageIDs.Replace(n.Request.ID)
	first := id + ".review@" + c.domain
	subject := fmt.Sprintf("%s requests access to %s %s", n.Request.Principal, resourceKind(n.Request.Resource), n.Request.Resource.Name())
	l := letter{by: n.Request.Principal, date: now, id: first}
	var body content
	switch n.Kind {
	case access.NoticeReview:
		body = c.review(n)
	case access.NoticeApproved, access.NoticeDenied:
		body = c.outcome(n)
		l.by = n.Decision.By
		subject = "Re: " + subject
		l.inReplyTo = first
		// Without a memory several reviewers may decline one request; were the ids
		// the same, mail servers would drop all but the first.
		l.id = fmt.Sprintf("%s.%s.%d@%s", id, n.Kind, n.Decision.At.Unix(), c.domain)
	default:
		return letter{}, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: fmt.Errorf("mail: no letter for a notice of kind %q", n.Kind)}
	}
	l.subject = headerText(subject)
	body.Home = n.BaseURL
	l.body = &body
	return l, nil
}

// render writes both parts of the body.
func (c *content) render() (text, html string, err error) {
	var t, h bytes.Buffer
	err = errors.Join(textLetter.Execute(&t, c), htmlLetter.Execute(&h, c))
	return t.String(), h.String(), err
}

// messageIDs encodes what ids of JIT Access 1.x may contain and mail programs stumble
// over in a Message-ID.
var messageIDs = strings.NewReplacer("+", "%2B", "/", "%2F")

// checkNotice refuses what must not reach a header or a link.
func checkNotice(n access.Notice) error {
	if _, err := access.ParseRequestID(n.Request.ID); err != nil {
		return err
	}
	if p, err := access.ParsePrincipal(string(n.Request.Principal)); err != nil || p != n.Request.Principal {
		return errors.New("the principal is not canonical")
	}
	if _, err := access.ParseResource(string(n.Request.Resource)); err != nil {
		return err
	}
	for _, link := range []string{n.ReviewURL, n.BaseURL} {
		if err := checkLink(link); err != nil {
			return err
		}
	}
	return nil
}

// checkLink admits https, and http on loopback for the sandbox.
func checkLink(link string) error {
	if link == "" {
		return nil
	}
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())) {
		return errors.New("a link is not an https address")
	}
	return nil
}

// headerText keeps readers from decoding a subject that was never encoded: an
// address may legally look like an encoded word (RFC 2047).
func headerText(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	// The text is ASCII, so it may be cut anywhere. 45 bytes make an encoded word
	// of 72, of at most 75.
	var words []string
	for s != "" {
		n := min(45, len(s))
		words = append(words, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, " ")
}

func (c composer) review(n access.Notice) content {
	r := n.Request
	body := content{
		Heading: "Request for access",
		Intro:   fmt.Sprintf("%s asks for temporary access to %s and chose you as a reviewer.", r.Principal, resource(r.Resource)),
		Button:  "Review the request",
		URL:     n.ReviewURL,
		Notes: []string{
			"Opening the link changes nothing: it shows the request. Only a reviewer who is signed in can approve or deny it there.",
			c.replies(),
		},
	}
	body.Rows = append(who(n), c.duration(n)...)
	if !r.Expires.IsZero() {
		body.Rows = append(body.Rows, row{Label: "Link can be used until", Value: c.instant(r.Expires)})
	}
	body.Rows = append(body.Rows, row{Label: "Asked to review", Value: people(r.Reviewers)}, reason(r))
	return body
}

// duration says for how long access would last, before anybody has approved it.
func (c composer) duration(n access.Notice) []row {
	r := n.Request
	long := row{Label: "For", Value: length(r.Duration)}
	if !r.Fixed.IsZero() {
		long.Value = length(r.Fixed.Length())
		long.Details = []string{"The time was fixed when the request was made; waiting makes it shorter."}
		return []row{long, {Label: "From", Value: c.instant(r.Fixed.Start)}, {Label: "Until", Value: c.instant(r.Fixed.End)}}
	}
	label := "If approved at once"
	if r.Start.IsZero() {
		long.Details = []string{"It begins when the request is approved."}
	} else {
		long.Details = []string{"It begins when the request is approved, but not before " + c.instant(r.Start) + "."}
		label = "If approved before that"
	}
	if n.Window.IsZero() {
		return []row{long}
	}
	return []row{long, {Label: label, Value: c.instant(n.Window.Start) + " until " + c.instant(n.Window.End)}}
}

func (c composer) outcome(n access.Notice) content {
	r, d := n.Request, n.Decision
	body := content{Button: "See the request", URL: n.ReviewURL, Notes: []string{c.replies()}}
	var decided string
	switch {
	case n.Kind == access.NoticeApproved:
		body.Heading, decided = "Access approved", "Approved by"
		body.Intro = fmt.Sprintf("%s approved the request of %s for access to %s.", d.By, r.Principal, resource(r.Resource))
		if refused := notGranted(n); refused != nil {
			body.Heading = "Access approved, granted in part"
			body.Rows = append(body.Rows, row{Label: "Not granted", Value: "Google refused a part of it; the rest was granted.", Details: refused})
		}
		body.Notes = append([]string{"Google usually takes two to seven minutes to apply the change. The access ends by itself."}, body.Notes...)
	case n.Final:
		body.Heading, decided = "Request denied", "Denied by"
		body.Intro = fmt.Sprintf("%s denied the request of %s for access to %s. Nothing was granted.", d.By, r.Principal, resource(r.Resource))
	default:
		body.Heading, decided = "Request declined", "Declined by"
		body.Intro = fmt.Sprintf("%s declined the request of %s for access to %s. Nothing was granted.", d.By, r.Principal, resource(r.Resource))
		if len(r.Reviewers) > 1 {
			body.Intro += " Another reviewer can still approve it until the link expires."
		}
	}
	body.Rows = append(body.Rows, row{Label: decided, Value: string(d.By)})
	if d.Comment != "" {
		label := "Comment"
		if n.Kind == access.NoticeDenied {
			// "Reason" is the requester's.
			label = "Because"
		}
		body.Rows = append(body.Rows, row{Label: label, Value: plain(d.Comment, maxUserText)})
	}
	body.Rows = append(body.Rows, who(n)...)
	if n.Kind == access.NoticeApproved {
		body.Rows = append(body.Rows,
			row{Label: "From", Value: c.instant(n.Window.Start)},
			row{Label: "Until", Value: c.instant(n.Window.End), Details: []string{"That is " + length(n.Window.Length()) + "."}})
	} else {
		body.Rows = append(body.Rows, row{Label: "For", Value: length(r.Duration)})
	}
	body.Rows = append(body.Rows, row{Label: "Asked to review", Value: people(r.Reviewers)}, reason(r))
	return body
}

// notGranted says which of the roles were refused, and why.
func notGranted(n access.Notice) []string {
	var lines []string
	for _, o := range n.Outcomes {
		if o.Result != access.Refused {
			continue
		}
		why := "the change was refused"
		if o.Err != nil {
			switch o.Err.Code {
			case access.CodeRoleNotGrantable:
				why = "the role cannot be granted there"
			case access.CodeServiceNotAllowed:
				why = "the service is not permitted to grant it"
			case access.CodeTooManyGrants:
				why = "there are too many grants of it already"
			case access.CodePolicyFull:
				why = "the policy is full"
			case access.CodeConditionTooLong:
				why = "its condition is too long"
			}
			if id := o.Err.Args["violation"]; id != "" {
				why += "; VPC Service Controls, unique identifier " + id
			}
		}
		lines = append(lines, plain(string(o.Entitlement.Role)+": "+why+".", maxUserText))
	}
	return lines
}

// replies says what becomes of replies.
func (c composer) replies() string {
	if c.replyTo != "" {
		return "Replies to this mail go to " + c.replyTo + "; a reply decides nothing."
	}
	return "Nobody reads replies to this mail, and a reply decides nothing."
}

// who is what a request is for: whom, where, what.
func who(n access.Notice) []row {
	rows := []row{
		{Label: "Who", Value: string(n.Request.Principal)},
		{Label: capital(resourceKind(n.Request.Resource)), Value: n.Request.Resource.Name()},
	}
	for i, e := range n.Request.Entitlements {
		var info access.RoleInfo
		if i < len(n.Roles) {
			info = n.Roles[i]
		}
		rows = append(rows, role(e, info))
	}
	return rows
}

func role(e access.EntitlementID, info access.RoleInfo) row {
	r := row{Label: "Role", Value: string(e.Role)}
	if info.Title != "" {
		r.Value = plain(info.Title, maxTitle)
		r.Details = append(r.Details, string(e.Role))
	}
	if info.Description != "" {
		r.Details = append(r.Details, plain(info.Description, maxUserText))
	}
	switch info.ChangesPermissions {
	case access.Yes:
		r.Details = append(r.Details, "Can change permissions, and so give more access than the role itself.")
	case access.Unknown:
		r.Details = append(r.Details, "It is not known whether it can change permissions; assume that it can.")
	}
	if e.Condition != "" {
		r.Details = append(r.Details, "Only where: "+plain(e.Condition, maxCondition))
	}
	return r
}

func reason(r access.Request) row {
	return row{Label: "Reason", Value: plain(r.Justification, maxUserText)}
}
