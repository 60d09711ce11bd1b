package firestore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"jitaccess/internal/lazyregexp"
)

// Statuses of answers. https://cloud.google.com/firestore/docs/understand-error-codes
const (
	aborted            = "ABORTED"
	alreadyExists      = "ALREADY_EXISTS"
	failedPrecondition = "FAILED_PRECONDITION"
	invalidArgument    = "INVALID_ARGUMENT"
	notFound           = "NOT_FOUND"
	permissionDenied   = "PERMISSION_DENIED"
	resourceExhausted  = "RESOURCE_EXHAUSTED"
)

// failure is an answer that is an error, with what there is to do about it.
type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Status  string `json:"status"`
	Details []struct {
		Reason string `json:"reason"`
	} `json:"details"`
	// next is what somebody has to do; empty where nothing is known.
	next string
}

// maxFailure is how much of an error is read.
const maxFailure = 64 << 10

// refused is the failure of an answer.
func (d *Database) refused(code int, body io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(body, maxFailure))
	if err != nil {
		return fmt.Errorf("the answer of Firestore (%d) cannot be read: %w", code, err)
	}
	var one struct {
		Error *failure `json:"error"`
	}
	var some []struct {
		Error *failure `json:"error"`
	}
	f := &failure{Code: code, Message: string(text)}
	if json.Unmarshal(text, &one) == nil && one.Error != nil {
		f = one.Error
	} else if json.Unmarshal(text, &some) == nil && len(some) > 0 && some[0].Error != nil {
		f = some[0].Error // of a method that answers with a list
	}
	f.next = d.next(f)
	return f
}

// next is what there is to do about a failure.
func (d *Database) next(f *failure) string {
	switch says := f.says; {
	case f.disabled():
		return "the API is not enabled: gcloud services enable firestore.googleapis.com --project " + d.c.Project
	case f.Status == permissionDenied:
		return "the service account needs roles/datastore.user on project " + d.c.Project +
			", with a condition that lets it use " + d.name + " if any"
	case f.otherMode():
		return "the database " + d.c.Database + " is in Datastore mode, and native mode is needed: name another in DATABASE_URL"
	case f.Status == notFound && says("database"):
		return "there is no such database: gcloud firestore databases create --project " + d.c.Project + " --database '" + d.c.Database +
			"' --type firestore-native --location LOCATION"
	case f.Status == failedPrecondition && says("index"):
		if says("building") {
			return "an index is still being built, which takes minutes, or hours with many requests: wait"
		}
		return "an index is missing: make it by the link"
	case f.Status == resourceExhausted:
		return "a quota is spent: of the free tier until midnight in California, where billing is not enabled; " +
			"see the quotas of Firestore in project " + d.c.Project
	case f.tooLarge():
		return "it is larger than Firestore takes (1 MiB a document); nothing of it was written"
	}
	return ""
}

// says is whether the text has one of some words, in small letters.
func (f *failure) says(words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(f.Message), w) })
}

// tooLarge is whether a document, or all that is to be written at once, is more than Firestore
// takes, of which the status says nothing.
func (f *failure) tooLarge() bool {
	return f.Status == invalidArgument && f.says("longer than", "exceeds", "too large", "too big",
		"too many index entries", "maximum entity size")
}

func (f *failure) disabled() bool {
	return f.Status == permissionDenied && (strings.Contains(f.Message, "has not been used in project") ||
		slices.ContainsFunc(f.Details, func(d struct {
			Reason string `json:"reason"`
		}) bool {
			return d.Reason == "SERVICE_DISABLED"
		}))
}

func (f *failure) otherMode() bool {
	return f.Status == failedPrecondition && strings.Contains(strings.ToLower(f.Message), "datastore mode")
}

// statusPattern is what statuses look like, and nothing is that a proxy on the way makes up.
var statusPattern = lazyregexp.New(`^[A-Z_]{0,40}$`)

// maxQuoted is how much of Firestore's text is told; the link that makes an index is long.
const maxQuoted = 1000

func (f *failure) Error() string {
	status := f.Status
	if !statusPattern().MatchString(status) {
		status = "with a status that is none"
	}
	text := fmt.Sprintf("Firestore answered %d %s: %s", f.Code, status, strconv.Quote(f.Message[:min(len(f.Message), maxQuoted)]))
	if f.next != "" {
		text += ": " + f.next
	}
	return text
}

// is reports a status.
func is(err error, status string) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.Status == status
}

// passing is whether a call that changes nothing may succeed in a moment.
func passing(err error) bool {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.Code >= 500 || f.Status == aborted
	}
	network, ok := errors.AsType[net.Error](err)
	return err != nil && !(ok && network.Timeout()) && (ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF))
}
