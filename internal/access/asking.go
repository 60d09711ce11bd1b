package access

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Asking is what an application asks for, as it is shown to who decides. Zero for what people
// ask.
type Asking struct {
	// Application is its name, Subject whom it asks for, as its token has it. Unlinked:
	// nobody knows who that is, so that nobody can be kept from approving their own request.
	Application string
	Subject     string
	Unlinked    bool
	// Template is the key of the template; Title is its title with the data filled in.
	Template, Title string
	// Data and Claims are in the order of the template. Claims are those of the token that
	// the template names, and no others.
	Data, Claims []Datum
	// Metadata is the template's, handed back unchanged. Callback is where the application
	// wants to hear of what becomes of it; may be empty.
	Metadata map[string]string
	Callback string
	// Sent is Sent.Digest of what the application sent, by which the same sent again is told
	// from something else.
	Sent string
}

// Datum is a value that approvers are shown. Label is what it is called in words.
type Datum struct{ Name, Label, Value string }

// IsZero is whether no application asks.
func (a Asking) IsZero() bool { return a.Application == "" }

// digest stands for all of it in that of a request.
func (a Asking) digest() string {
	data := func(all []Datum) string {
		return digest(Each(all, func(d Datum) string { return digest(d.Name, d.Label, d.Value) })...)
	}
	var metadata []string
	for _, key := range slices.Sorted(maps.Keys(a.Metadata)) {
		metadata = append(metadata, key, a.Metadata[key])
	}
	unlinked := ""
	if a.Unlinked {
		unlinked = "unlinked"
	}
	return digest("jitaccess asking 1", a.Application, a.Subject, unlinked, a.Template, a.Title, data(a.Data), data(a.Claims),
		digest(metadata...), a.Callback, a.Sent)
}

// unlinkedDomain ends the address that stands for somebody of an application. No mail gets to
// .invalid (RFC 2606, section 2), and nobody has an address there.
const unlinkedDomain = ".apps.invalid"

// Spelled is how somebody of an application stands among principals: an address that is
// nobody's, and differs for each application and each name there, also where only the case of
// letters does.
func Spelled(application, subject string) Principal {
	plain := subject != "" && len(subject) <= maxLabel && !strings.ContainsFunc(subject, notInLabel) && !strings.HasPrefix(subject, "sha256-")
	if !plain {
		sum := sha256.Sum256([]byte(subject))
		subject = "sha256-" + hex.EncodeToString(sum[:16])
	}
	return Principal(subject + "@" + application + unlinkedDomain)
}

// IsSpelled is whether p stands for somebody of an application. Nobody signs in as one, and
// nobody is told anything there.
func (p Principal) IsSpelled() bool { return strings.HasSuffix(string(p), unlinkedDomain) }

// Sent is what an application sends, before anything of it is checked.
type Sent struct {
	// Application is its name, Template the key of one of its templates, Subject whom it asks
	// for, as its token has it.
	Application, Template, Subject string
	// Data and Claims are by their names; Claims are all those of its token, of which only those
	// are used that the template names.
	Data   map[string]string
	Claims map[string]any
	// Reason is why; without one it is the title. Minutes is for how long; 0 is for as long as
	// the template says. Callback is where to tell of it; may be empty.
	Reason   string
	Minutes  int
	Callback string
}

// Digest stands for what was sent, without the claims: another token may say the same again.
func (s Sent) Digest() string {
	var data []string
	for _, name := range slices.Sorted(maps.Keys(s.Data)) {
		data = append(data, name, s.Data[name])
	}
	return digest("jitaccess sent 1", s.Application, s.Template, s.Subject, digest(data...), s.Reason, strconv.Itoa(s.Minutes), s.Callback)
}

// AskedID is the id of what an application asks for under a key of its own: the same key is
// the same request, to every instance.
func AskedID(application, key string) string {
	sum := sha256.Sum256([]byte("jitaccess asked id " + digest(application, key)))
	return RequestIDOf(Peers, [12]byte(sum[:12]))
}
