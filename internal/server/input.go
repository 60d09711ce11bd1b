package server

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// badInput is for what no form of ours sends.
func badInput(reason string, err error) error {
	return &access.Error{Kind: access.Invalid, Code: access.CodeBadInput, Args: access.Args{"reason": reason}, Err: err}
}

// query reads the query of the address. Unlike URL.Query it refuses what it cannot
// read, instead of dropping it; so it does with what is there twice and is none of
// the names that may be: whoever looks for two people's requests must not take one's for all.
func query(r *http.Request, often ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badInput("the address is malformed", err)
	}
	for name, values := range q {
		if len(values) > 1 && !slices.Contains(often, name) {
			return nil, badInput("something is there twice in the address", nil)
		}
	}
	return q, nil
}

// form reads the body of a form, never the address.
func form(r *http.Request) (url.Values, error) {
	if err := accepted(r, "application/x-www-form-urlencoded"); err != nil {
		return nil, err
	}
	if err := r.ParseForm(); err != nil {
		return nil, bodyError("the form is malformed", err)
	}
	for _, name := range single {
		if len(r.PostForm[name]) > 1 {
			return nil, badInput(name+" is there twice", nil)
		}
	}
	return r.PostForm, nil
}

// principal reads whose access is meant; empty is nobody in particular.
func principal(address string) (access.Principal, error) {
	if address == "" {
		return "", nil
	}
	p, err := access.ParsePrincipal(address)
	if err != nil {
		return "", badInput("principal is no address of a person", err)
	}
	return p, nil
}

// single are the fields that a form of ours has once.
var single = []string{access.FieldID, access.FieldPrincipal, access.FieldVerdict, "digest", "confirmed", access.FieldResource,
	"activation", fieldGlass, fieldBy}

// accepted refuses a body of another type.
func accepted(r *http.Request, want string) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != want {
		return &access.Error{Kind: access.Invalid, Code: access.CodeMediaType, Args: access.Args{"accepted": want}}
	}
	return nil
}

func bodyError(reason string, err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &access.Error{Kind: access.Invalid, Code: access.CodeTooLarge, Err: err}
	}
	return badInput(reason, err)
}

// reference reads what the link of the address points to. Only the broker knows what
// it means; a blank one is bad input, as in JIT Access 1.x.
func reference(r *http.Request) (string, error) {
	q, err := query(r)
	if err != nil {
		return "", err
	}
	if q.Get("activation") == "" {
		return "", &access.Error{Kind: access.Invalid, Code: access.CodeBadLink}
	}
	return q.Get("activation"), nil
}

// with reads what an address names before the handler of what is asked of it.
func with[A, T any](read func(*http.Request) (A, error), h func(*http.Request, A) (T, error)) func(*http.Request) (T, error) {
	return func(r *http.Request) (none T, err error) {
		named, err := read(r)
		if err != nil {
			return none, err
		}
		return h(r, named)
	}
}

// resourceAt reads the resource of an address /access/RESOURCE.
func (s *server) resourceAt(r *http.Request) (access.Resource, error) {
	return s.parseResource(strings.TrimPrefix(r.URL.Path, "/access/"))
}

func (s *server) parseResource(path string) (access.Resource, error) {
	on, err := s.Broker.ParseResource(path)
	if err != nil {
		return "", s.badResource(strings.TrimPrefix(path, "projects/"), err)
	}
	return on, nil
}

func (s *server) badResource(text string, err error) error {
	if !s.projected() {
		return &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": printable(text)}, Err: err}
	}
	return &access.Error{Kind: access.Invalid, Code: access.CodeBadResource, Field: "projectId",
		Args: access.Args{"resource": printable(text)}, Err: err}
}

// project reads {project} of an address of the JSON interface: the id of a project or, escaped, the
// path of any resource, as folders%2F123456789012.
func (s *server) project(r *http.Request) (access.Resource, error) {
	id, err := segment(r, "project")
	if err != nil {
		return "", err
	}
	if strings.Contains(id, "/") {
		return s.parseResource(id)
	}
	on, err := access.Project(id)
	if err != nil {
		return "", s.badResource(id, err)
	}
	return on, nil
}

// requestIDPattern is what a request id may look like in an address. Ids of JIT
// Access 1.x are standard Base64, slashes and all; whether it is an id at all is
// for the broker to say.
var requestIDPattern = lazyregexp.New(`^[A-Za-z0-9_+/=.:-]{1,100}$`)

func requestID(r *http.Request) (string, error) {
	id, err := segment(r, "id")
	if err != nil {
		return "", err
	}
	if !requestIDPattern().MatchString(id) {
		return "", &access.Error{Kind: access.Invalid, Code: access.CodeBadRequestID}
	}
	return id, nil
}

// segment reads one segment of the address. The router matches the escaped path
// when it differs from the plain one, and only then are its segments escaped.
func segment(r *http.Request, name string) (string, error) {
	value := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return value, nil
	}
	plain, err := url.PathUnescape(value)
	if err != nil {
		return "", badInput("the address is malformed", err)
	}
	return plain, nil
}

// maxParsedIDs bounds the ids that are read in one request, in bytes together: reading a
// resource condition, and finding out how it is spelled properly, takes time.
const maxParsedIDs = 4 << 10

// entitlementIDs reads ids of what is to be requested on a resource. Not even looked at
// are more than may be requested together. Long ones must be spelled as those that the
// caller is offered.
func (s *server) entitlementIDs(r *http.Request, on access.Resource, texts []string) ([]access.EntitlementID, error) {
	terms, err := s.Broker.Defaults(callerOf(r), access.Self)
	if n := len(texts); err == nil && n > terms.MaxRoles {
		return nil, &access.Error{Kind: access.Invalid, Code: access.CodeTooManyRoles, Field: access.FieldEntitlement,
			Args: access.Args{"count": strconv.Itoa(n), "max": strconv.Itoa(terms.MaxRoles)}}
	}
	read := s.Broker.ParseEntitlementID
	if len(strings.Join(texts, "")) > maxParsedIDs {
		offer, err := s.Broker.Offer(r.Context(), callerOf(r), on)
		if err != nil {
			return nil, err
		}
		read = func(text string) (access.EntitlementID, error) {
			for _, o := range offer.Roles {
				if o.Entitlement.ID.String() == text {
					return o.Entitlement.ID, nil
				}
			}
			return access.EntitlementID{}, errors.New("long, and none of those offered")
		}
	}
	var ids []access.EntitlementID
	for _, text := range texts {
		id, err := read(text)
		if err != nil {
			return nil, &access.Error{Kind: access.Invalid, Code: access.CodeBadEntitlement, Field: access.FieldEntitlement,
				Args: access.Args{"entitlement": printable(text)}, Err: err}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// wholeNumber reads a number of the query, of least or more, that stands there once; 0 where it does not.
func wholeNumber(q url.Values, name string, least int, reason string) (int, error) {
	values := q[name]
	if len(values) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(values[0])
	if err != nil || n < least || len(values) > 1 {
		return 0, badInput(reason, err)
	}
	return n, nil
}

// maxMinutes keeps a number of minutes from overflowing a duration; what may be
// granted is for the broker to say.
const maxMinutes = 1_000_000

// minutes reads a duration. The form sends the field twice, as a choice and as a
// number; a number that was typed wins over the choice. What is no number is no
// duration either, and is refused as none is.
func minutes(texts []string) time.Duration {
	last := ""
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" {
			last = t
		}
	}
	n, err := strconv.Atoi(last)
	if err != nil {
		return 0
	}
	return duration(n)
}

// duration is n minutes, cut to what there may be; the broker refuses none and the most.
func duration(n int) time.Duration { return time.Duration(max(0, min(n, maxMinutes))) * time.Minute }

// startForms are how a start may be written: with its offset, or as browsers send
// a local date and time, which the form declares to be UTC.
var startForms = []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05"}

// start reads when access is to begin; empty is at once.
func start(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	for _, f := range startForms {
		if t, err := time.Parse(f, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, &access.Error{Kind: access.Invalid, Code: access.CodeBadStart, Field: access.FieldStart}
}

// printable makes outside text fit to be repeated in a message.
func printable(text string) string {
	return access.Clip(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 {
			return '?'
		}
		return r
	}, text), 80)
}
