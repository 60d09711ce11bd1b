package channel

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
	"jitaccess/internal/redact"
)

// Codes of what is no refusal in a service's own words.
const (
	// TooMany is that of too many calls.
	TooMany = "429"
	// Unreadable is that of an answer that is not what the service documents.
	Unreadable = "unreadable"
	// Secret is that of a secret that cannot be read, or is none.
	Secret = "secret"
	// NotPublic is that of a server at an address to which is not connected.
	NotPublic = "not public"
	// Certificate is that of a server whose certificate is not trusted.
	Certificate = "certificate"
	// Unreachable is that of all else that happens on the way.
	Unreachable = "unreachable"

	redirected        = "redirected"
	serverFault       = "5xx"
	answerTooLong     = "too long"
	noSuchHost        = "no such host"
	timedOut          = "timed out"
	noTLS             = "no TLS"
	connectionRefused = "connection refused"
)

// Explanation is what a refusal means: Meaning in a sentence for an operator, and Remedy
// what puts it right. It is of any of Codes: a service's own, an HTTP status, or one of
// those above. {service} in it is the service.
type Explanation struct {
	Codes           []string
	Meaning, Remedy string
}

// general is what does not depend on the service.
var general = []Explanation{
	{[]string{Secret}, "The secret for {service} cannot be read, or is not what it should be.",
		"The log has the cause. See that the setting names the right version in Secret Manager, and that the service account may read it."},
	{[]string{TooMany}, "{service} takes no more messages for a while.",
		"With a ledger it is sent again by itself. If it happens often, let fewer rules tell there."},
	{[]string{noSuchHost}, "The name of {service}'s server is not known here.", "See to the name server, and to the address in the setting."},
	{[]string{NotPublic}, "The name of {service}'s server leads to an address that is not public, where nothing is sent.",
		"See to the name server: it must answer with the service's own addresses."},
	{[]string{timedOut}, "{service} did not answer in time.", "If it goes on, see whether a firewall lets this service reach it on port 443."},
	{[]string{connectionRefused}, "Nothing takes connections at {service}'s server.", "See to the address in the setting, and to firewalls."},
	{[]string{Certificate}, "The certificate of {service}'s server is not one that is trusted for its name.",
		"See whether something on the way opens the connection, and to the clock of this machine."},
	{[]string{noTLS}, "What answers at {service}'s server does not speak TLS, or not a version of it that is safe.",
		"See to the port of the address in the setting, and whether a proxy answers in its place."},
	{[]string{Unreachable}, "The connection to {service} broke, or could not be made.",
		"With a ledger it is sent again by itself. The log has the cause if it goes on."},
	{[]string{redirected}, "{service} sent the call on to another address, which is not followed.",
		"Take the setting anew from where {service} shows it."},
	{[]string{answerTooLong, Unreadable}, "What answered is not {service}: the answer is none of those that it documents.",
		"See to the address in the setting, and whether a proxy answers in its place."},
	{[]string{serverFault}, "{service} has a fault of its own.",
		"With a ledger it is sent again by itself. See the service's status page if it goes on."},
}

// Fault is why something could not be told: an error that explains itself.
type Fault struct {
	Service string
	// Code is that of the refusal; Status the HTTP status, 0 where there was no answer.
	Code   string
	Status int
	// Said is what the service said, fit to be shown.
	Said            string
	Meaning, Remedy string
	err             error
	// rests is until when the service wants no calls, where that is why.
	rests time.Time
}

// RestsUntil is until when the service wants no calls; zero where that is not why. It implements
// broker.Resting.
func (f *Fault) RestsUntil() time.Time { return f.rests }

// What is where it went wrong and what was said there.
func (f *Fault) What() string {
	var parts []string
	if f.Status != 0 {
		parts = append(parts, strconv.Itoa(f.Status))
	}
	if f.Code != strconv.Itoa(f.Status) {
		parts = append(parts, f.Code)
	}
	if f.Said != "" {
		parts = append(parts, strconv.Quote(f.Said))
	}
	return f.Service + ": " + strings.Join(parts, ", ")
}

// Error is for the log.
func (f *Fault) Error() string {
	text := f.What() + ": " + f.Meaning
	if f.err != nil {
		text += " " + redact.Answer(f.err.Error())
	}
	return text
}

// Explain is for doctor.
func (f *Fault) Explain() (what, meaning, remedy string) { return f.What(), f.Meaning, f.Remedy }

// symptom is what is known of a fault.
type symptom struct {
	code   string
	status int
	said   string
	err    error
}

// maxSaid is how much is shown of what a service said, in bytes.
const maxSaid = 200

func (c *Caller) fault(s symptom, secrets []string) *Fault {
	matches := func(e Explanation) bool {
		return slices.Contains(e.Codes, s.code) || s.status != 0 && slices.Contains(e.Codes, strconv.Itoa(s.status))
	}
	said := access.Clip(access.Visible(strings.Join(strings.Fields(redact.Answer(s.said, secrets...)), " ")), maxSaid)
	f := &Fault{Service: c.Service, Code: s.code, Status: s.status, Said: said, err: s.err,
		Meaning: "{service} refused it.", Remedy: "Look the code up in {service}'s documentation."}
	if s.code == TooMany {
		f.rests = c.restEnds()
	}
	// Of the service's own words first, then of its status.
	all := slices.Concat(c.Table, general)
	at := slices.IndexFunc(all, func(e Explanation) bool { return slices.Contains(e.Codes, s.code) })
	if at < 0 {
		at = slices.IndexFunc(all, matches)
	}
	if at >= 0 {
		f.Meaning, f.Remedy = all[at].Meaning, all[at].Remedy
	}
	f.Meaning, f.Remedy = strings.ReplaceAll(f.Meaning, "{service}", c.Service), strings.ReplaceAll(f.Remedy, "{service}", c.Service)
	return f
}

// NoSecret is the fault of a secret that cannot be had.
func (c *Caller) NoSecret(err error) error { return c.fault(symptom{code: Secret, err: err}, nil) }

// Broken is the fault of an answer that was taken for one of the service's and lacks what
// it must have.
func (c *Caller) Broken(a Answer, secrets ...string) error {
	return c.fault(symptom{code: Unreadable, status: a.Status, said: string(a.Body)}, secrets)
}

// CodeOf is the code of a fault; empty where an error is none.
func CodeOf(err error) string {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Code
	}
	return ""
}

// Failure explains an error to administrators.
func Failure(err error) *notice.Failure {
	if f, ok := errors.AsType[*Fault](err); ok {
		return &notice.Failure{What: f.What(), Meaning: f.Meaning, Remedy: f.Remedy, Err: err}
	}
	return &notice.Failure{What: "", Meaning: "It could not be sent.", Remedy: "The log has the cause.", Err: err}
}

// Steps are those of a test, of which the last failed unless err is nil.
func Steps(taken []notice.Step, name string, err error) []notice.Step {
	if err == nil {
		return taken
	}
	return append(taken, notice.Step{Name: cmp.Or(name, "test"), Failure: Failure(err)})
}
