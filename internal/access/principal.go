package access

import (
	"errors"
	"strings"
	"time"
)

// Principal is a person, as a canonical e-mail address: ASCII, A–Z folded, one @.
// Two principals are the same person if and only if the strings are equal. The
// zero value is nobody. Make one with ParsePrincipal.
type Principal string

// maxPrincipal is the longest address that SMTP can carry (RFC 5321, 4.5.3.1.3,
// less the angle brackets).
const maxPrincipal = 254

const maxLabel = 63

// What the parts between the dots of an address are made of. It is stricter than
// RFC 5321 on purpose: no quoted local part, no comment, no second @, nothing that a
// mail header, an SMTP command or an IAM member could read differently from us.
func notInLabel(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-') }
func notInAtom(r rune) bool  { return notInLabel(r) && !strings.ContainsRune("!#$%&'*+/=?^_{|}~", r) }

// ParsePrincipal reads an e-mail address. It folds A–Z and nothing else: Unicode
// folding would make two addresses of different people equal (KELVIN SIGN is not
// k). Addresses of service accounts are refused; a person is meant.
func ParsePrincipal(address string) (Principal, error) {
	if len(address) > maxPrincipal {
		return "", errors.New("address is longer than 254 characters")
	}
	folded := FoldASCII(address)
	if !isAddress(folded) {
		return "", errors.New("not an address of the form local@domain in ASCII")
	}
	if strings.HasSuffix(folded, ".gserviceaccount.com") {
		return "", errors.New("a service account is not a person")
	}
	return Principal(folded), nil
}

// isAddress is whether both sides of the @ are made as they should. It is not a
// regular expression, since every page reads the addresses of hundreds of grants.
func isAddress(text string) bool {
	local, domain, _ := strings.Cut(text, "@")
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, notInAtom) {
			return false
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel || strings.ContainsFunc(label, notInLabel) || strings.Trim(label, "-") != label {
			return false
		}
	}
	return true
}

// Domain is the part after the @.
func (p Principal) Domain() string {
	_, domain, _ := strings.Cut(string(p), "@")
	return domain
}

func (p Principal) String() string { return string(p) }

// GroupPrefix begins a group, as policy files spell it.
const GroupPrefix = "group:"

// Group is the address of a group that was asked, which stands among the reviewers of a
// request as "group:ADDRESS"; false for a person. No caller is ever spelled so: an address
// has no colon.
func (p Principal) Group() (address string, ok bool) {
	return strings.CutPrefix(string(p), GroupPrefix)
}

// Address is where p gets mail: that of the group where it is one.
func (p Principal) Address() Principal { return Principal(strings.TrimPrefix(string(p), GroupPrefix)) }

// ParseReviewer reads somebody who is asked: a person, or a group as "group:ADDRESS".
func ParseReviewer(text string) (Principal, error) {
	address, group := strings.CutPrefix(text, GroupPrefix)
	p, err := ParsePrincipal(address)
	if err == nil && group {
		p = GroupPrefix + p
	}
	return p, err
}

// FoldASCII lower-cases A–Z and leaves every other byte alone.
func FoldASCII(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// MethodSystem is the method of the service itself, and MethodApplication that of an
// application; neither is anybody in person.
const (
	MethodSystem      = "system"
	MethodApplication = "application"
)

// Caller is a principal as identified for one call. Every method of the broker
// takes one, so that no action can be written that forgets who asks.
type Caller struct {
	// Principal is who asks.
	Principal Principal
	// Subject is the identity provider's stable id of the person; it survives a
	// change of address. Empty only for the system itself.
	Subject string
	// Device and AccessLevels are what the identity provider says of the device;
	// both may be empty.
	Device       string
	AccessLevels []string
	// Claims are the groups that the assertion names, as they stand there. ClaimsUnknown is
	// that it leaves open which they are, so that nobody knows of any whether they are in it;
	// then there are none.
	Claims        []string
	ClaimsUnknown bool
	// Asserted is when the identity provider said so; zero where it does not say.
	Asserted time.Time
	// Method says how the caller was identified: an identity profile, such as "iap", or
	// MethodSystem.
	Method string
	// Application is the name of the application that asks, with MethodApplication; Principal
	// is empty then, or the administrator who tries it. Otherwise it is empty.
	Application string
	// AtAdmin: the request came to the administration page, by the address as it was sent
	// and not by what that could be read as, and whoever gets there has been let there by
	// the proxy before the service. The server alone says so.
	AtAdmin bool
	// Arrived is when the request arrived that the caller sent. What was read for it
	// after that moment need not be read a second time. Zero shares nothing.
	Arrived time.Time
}

// By is who asks, be it an application (OfApplication).
func (c Caller) By() Principal {
	if c.Principal == "" && c.Application != "" {
		return OfApplication(c.Application)
	}
	return c.Principal
}

// OfApplication is an application among principals, where what each causes is counted:
// "app:NAME". No person is spelled so: an address has no colon.
func OfApplication(name string) Principal { return Principal("app:" + name) }
