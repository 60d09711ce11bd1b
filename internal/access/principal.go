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

// What the parts between the dots of an address are made of. It is stricter than
// RFC 5321 on purpose: no quoted local part, no comment, no second @, nothing that a
// mail header, an SMTP command or an IAM member could read differently from us.
var (
	labelCharacters = charactersOf("abcdefghijklmnopqrstuvwxyz0123456789-")
	atomCharacters  = charactersOf("abcdefghijklmnopqrstuvwxyz0123456789-!#$%&'*+/=?^_{|}~")
)

const maxLabel = 63

// characters are a set of bytes.
type characters [256]bool

func charactersOf(text string) *characters {
	var c characters
	for i := range len(text) {
		c[text[i]] = true
	}
	return &c
}

// all is whether a text has no other characters.
func (c *characters) all(text string) bool {
	for i := range len(text) {
		if !c[text[i]] {
			return false
		}
	}
	return true
}

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
		if atom == "" || !atomCharacters.all(atom) {
			return false
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel || !labelCharacters.all(label) || label[0] == '-' || label[len(label)-1] == '-' {
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

// FoldASCII lower-cases A–Z and leaves every other byte alone.
func FoldASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// MethodSystem is the method of the service itself, which is nobody in person.
const MethodSystem = "system"

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
	// Method says how the caller was identified: "iap", or MethodSystem.
	Method string
	// Arrived is when the request arrived that the caller sent. What was read for it
	// after that moment need not be read a second time. Zero shares nothing.
	Arrived time.Time
}
