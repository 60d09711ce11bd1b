package mailbox

import (
	"bufio"
	"html"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// Bounds of what is looked at of one mail; what lies beyond is as if it were not there.
const (
	maxMessage    = 256 << 10 // bytes
	maxHeader     = 64 << 10  // bytes of the header of the mail
	maxDepth      = 5         // multiparts within each other
	maxParts      = 50
	maxText       = 64 << 10 // bytes of texts for people, together
	maxRecipients = 20       // of one report
	maxSaid       = 300      // bytes of what a server said
)

// Returned is what a mail says of one of ours that came back.
type Returned struct {
	// Request is the id of the request that ours was about.
	Request string
	// Failures are whom it did not reach, each once, at least one.
	Failures []Failure
}

// Failure is why a mail did not reach somebody, as a mail says.
type Failure struct {
	// To is empty where it does not say who, or says so in no form that we know.
	To access.Principal
	// Status is as "5.1.1" (RFC 3463), Text on one line; either may be empty.
	Status, Text string
}

// Read finds out whether a mail says that one of ours came back: it is a report of a mail server
// that delivery has failed for good (RFC 3464, or one of the forms that mail servers had before),
// and names the Message-ID of ours, of which requestOf knows the request. Everything else is
// false: answers of people and of programs (RFC 3834), receipts, warnings of a delay, reports of
// other mails. Who wrote it is not known.
func Read(r io.Reader, requestOf func(messageID string) (id string, ours bool)) (Returned, bool) {
	entity, _ := message.ReadWithOptions(io.LimitReader(r, maxMessage), &message.ReadOptions{MaxHeaderBytes: maxHeader})
	if entity == nil || !mayBe(entity.Header) {
		return Returned{}, false
	}
	var f findings
	f.walk(entity, 0)
	var found Returned
	ours := false
	for _, id := range f.originals(entity.Header) {
		if found.Request, ours = requestOf(id); ours {
			break
		}
	}
	if !ours {
		return Returned{}, false
	}
	found.Failures = f.failures(entity.Header)
	return found, len(found.Failures) > 0
}

// mayBe is whether a mail with that header may be the report of a mail server.
func mayBe(h message.Header) bool {
	mediaType, parameters, _ := h.ContentType()
	if mediaType == "multipart/report" {
		about := strings.ToLower(parameters["report-type"])
		return about == "" || about == "delivery-status"
	}
	return h.Has("X-Failed-Recipients") || h.Has("X-Ms-Exchange-Message-Is-Ndr") || fromServer(h)
}

// servers are the local parts of addresses that mail servers write from
// (RFC 2142, RFC 5321, 4.5.1; and by custom).
var servers = lazyregexp.New(`(?i)(?:^|[<\s"])(?:mailer-daemon|postmaster|microsoftexchange[0-9a-f]{32})@`)

func fromServer(h message.Header) bool { return servers().MatchString(h.Get("From")) }

// findings are what the parts of a mail hold.
type findings struct {
	parts int
	// reports are the groups of fields about recipients.
	reports []textproto.Header
	// returned is whether a part of ours, or its header, came back, and id its Message-ID.
	returned bool
	id       string
	text     strings.Builder
}

func (f *findings) walk(e *message.Entity, depth int) {
	mediaType, _, _ := e.Header.ContentType()
	if parts := e.MultipartReader(); parts != nil {
		if depth == maxDepth {
			return
		}
		for ; f.parts < maxParts; f.parts++ {
			part, err := parts.NextPart()
			if part == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
				return
			}
			f.walk(part, depth+1)
		}
		return
	}
	switch strings.ToLower(mediaType) {
	case "message/delivery-status", "message/global-delivery-status":
		f.report(e.Body)
	case "message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers":
		header, _ := textproto.ReadHeader(bufio.NewReader(e.Body))
		if !f.returned {
			f.returned, f.id = true, bracketed(header.Get("Message-Id"))
		}
	case "text/html":
		text, _ := io.ReadAll(io.LimitReader(e.Body, int64(maxText-min(f.text.Len(), maxText))))
		f.text.WriteString(html.UnescapeString(tags().ReplaceAllString(string(text), "\n")) + "\n")
	case "text/plain", "":
		text, _ := io.ReadAll(io.LimitReader(e.Body, int64(maxText-min(f.text.Len(), maxText))))
		f.text.WriteString(string(text) + "\n")
	}
}

var tags = lazyregexp.New(`<[^<>]*>`)

// report reads groups of fields: the first is of the mail, the others of a recipient each.
func (f *findings) report(r io.Reader) {
	fields := bufio.NewReader(r)
	for of := 0; len(f.reports) < maxRecipients; {
		group, err := textproto.ReadHeader(fields)
		if group.Len() > 0 {
			if of++; of > 1 {
				f.reports = append(f.reports, group)
			}
		}
		if err != nil {
			return
		}
		if _, err := fields.Peek(1); err != nil {
			return
		}
	}
}

var (
	copied   = lazyregexp.New(`(?im)^[> \t]*message-id:[ \t]*<([^<>\s]{1,500})>`)
	brackets = lazyregexp.New(`<([^<>\s]{1,500})>`)
)

func bracketed(text string) string {
	if m := brackets().FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// originals are the Message-IDs of what came back. A report that has it back says so in no other
// way: what it answers may be what was answered by a mail that did not reach somebody else.
func (f *findings) originals(h message.Header) []string {
	if f.returned {
		return []string{f.id}
	}
	if m := copied().FindStringSubmatch(f.text.String()); m != nil {
		return []string{m[1]}
	}
	var ids []string
	for _, m := range brackets().FindAllStringSubmatch(h.Get("In-Reply-To")+" "+h.Get("References"), 2*maxRecipients) {
		ids = append(ids, m[1])
	}
	return ids
}

// failures are whom it did not reach.
func (f *findings) failures(h message.Header) (all []Failure) {
	add := func(to, status, text string) {
		failure := Failure{Status: status, Text: said(text)}
		failure.To, _ = access.ParsePrincipal(strings.Trim(strings.TrimSpace(to), "<>"))
		same := func(f Failure) bool { return f.To == failure.To }
		if !slices.ContainsFunc(all, same) {
			all = append(all, failure)
		}
	}
	for _, group := range f.reports {
		if !strings.EqualFold(strings.TrimSpace(group.Get("Action")), "failed") {
			continue
		}
		status, text := whole().FindString(group.Get("Status")), untyped(group.Get("Diagnostic-Code"))
		// The address that we sent to says more than the one that it was passed on to.
		to := untyped(group.Get("Original-Recipient"))
		if _, err := access.ParsePrincipal(to); err != nil {
			to = untyped(group.Get("Final-Recipient"))
		}
		add(to, status, text)
	}
	if f.reports != nil {
		return all
	}
	line, status, permanent := f.reason()
	named := strings.Split(h.Get("X-Failed-Recipients"), ",")
	switch {
	case h.Has("X-Failed-Recipients"):
		for _, to := range named[:min(len(named), maxRecipients)] {
			add(to, status, line)
		}
	case h.Has("X-Ms-Exchange-Message-Is-Ndr"), permanent && automatic(h):
		add("", status, line)
	}
	return all
}

// automatic is whether a program says that it wrote the mail (RFC 3834), or the server that
// delivered it, that nobody is to answer it (RFC 3464, 2).
func automatic(h message.Header) bool {
	by, _, _ := strings.Cut(h.Get("Auto-Submitted"), ";")
	by = strings.ToLower(strings.TrimSpace(by))
	return by == "auto-replied" || by == "auto-generated" || strings.TrimSpace(h.Get("Return-Path")) == "<>"
}

var (
	whole     = lazyregexp.New(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}`)
	statuses  = lazyregexp.New(`\b[45]\.[0-9]{1,3}\.[0-9]{1,3}\b`)
	refusals  = lazyregexp.New(`(?m)(?:^|[\s:'"(])[45][0-9]{2}[ -]`)
	permanent = lazyregexp.New(`(?:^|[\s:'"(#])5(?:[0-9]{2}[ -]|\.[0-9]{1,3}\.[0-9]{1,3})`)
)

// reason is the line of a text for people that has a code in it, and the status there.
func (f *findings) reason() (line, status string, forGood bool) {
	for each := range strings.Lines(f.text.String()) {
		if !statuses().MatchString(each) && !refusals().MatchString(each) {
			continue
		}
		if forGood = permanent().MatchString(each); forGood || line == "" {
			line, status = each, statuses().FindString(each)
		}
		if forGood {
			break
		}
	}
	return line, status, forGood
}

// untyped is the value of a field without the type that stands before it (RFC 3464, 2.1.2).
func untyped(field string) string {
	_, value, found := strings.Cut(field, ";")
	if !found {
		value = field
	}
	return strings.TrimSpace(value)
}

// said makes what others wrote one line that can be shown.
func said(text string) string {
	return access.Clip(strings.Join(strings.Fields(access.Visible(text)), " "), maxSaid)
}
