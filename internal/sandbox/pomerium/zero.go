// Package pomerium is a Pomerium Zero in one process: its API, and an identity-aware proxy
// that enforces the policies. It is written from what Pomerium's JIT example sends and from
// Pomerium's documentation, not from the product's code, so that it can judge that.
package pomerium

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// tokenLife is how long an id token lives.
const tokenLife = time.Hour

// Person is one of those who sign in.
type Person struct {
	Email, Name string
	// Subject is their id at the identity provider.
	Subject string
	Groups  []string
}

// Options are what a Zero is made of. The zero value is good.
type Options struct {
	// Now is the clock; nil is time.Now. Random is what ids are made of; nil is crypto/rand.
	Now    func() time.Time
	Random io.Reader
	// Manual: changes wait in a changeset until somebody applies it.
	Manual bool
}

// Zero is one organization of Pomerium Zero with one cluster. It is safe for concurrent use.
type Zero struct {
	now    func() time.Time
	random io.Reader
	faults faults

	organization, cluster, refreshToken string
	people                              []Person

	mu         sync.Mutex
	tokens     map[string]time.Time // id tokens, until when they are good
	policies   []*policy
	changesets []*Changeset
	changes    []Change // oldest first
	lastChange int
	manual     bool
	keys       []signingKey
	sent       []Exchange
}

// policy is one with what the cluster enforces of it, which is older where a changeset waits.
type policy struct {
	ID, NamespaceID, Name, Description, Explanation, Remediation string
	Enforced                                                     bool
	PPL                                                          json.RawMessage
	Created, Updated                                             time.Time
	applied                                                      json.RawMessage
}

// Changeset is a change that waits, or has been applied.
type Changeset struct {
	ID, Status       string
	Created, Updated time.Time
}

// maxChanges is how many changes are kept; the oldest go first.
const maxChanges = 200

// Change is one of a policy, as it began to hold. ID is unique, and only grows, from 1 on.
type Change struct {
	ID            int
	At            time.Time
	Policy        string
	Before, After string
}

// Changes are the last, newest first.
func (z *Zero) Changes() []Change {
	z.mu.Lock()
	defer z.mu.Unlock()
	newest := slices.Clone(z.changes)
	slices.Reverse(newest)
	return newest
}

// Exchange is a request to the API as it came.
type Exchange struct {
	Method, Target, Authorization, ContentType, Body string
	Status                                           int
}

// New makes a Zero.
func New(o Options) (*Zero, error) {
	z := &Zero{now: o.Now, random: o.Random, manual: o.Manual, tokens: map[string]time.Time{}, people: believable}
	if z.now == nil {
		z.now = time.Now
	}
	if z.random == nil {
		z.random = rand.Reader
	}
	for _, id := range []*string{&z.organization, &z.cluster, &z.refreshToken} {
		text, err := z.id()
		if err != nil {
			return nil, err
		}
		*id = text
	}
	return z, z.RotateKeys()
}

// believable are people of a company.
var believable = []Person{
	{"ana.weber@example.com", "Ana Weber", "idp|1001", []string{"engineering"}},
	{"ben.okafor@example.com", "Ben Okafor", "idp|1002", []string{"engineering"}},
	{"carla.rossi@example.com", "Carla Rossi", "idp|1003", []string{"engineering", "administrators"}},
	{"deniz.kaya@example.com", "Deniz Kaya", "idp|1004", []string{"administrators"}},
}

// People are those who can sign in.
func (z *Zero) People() []Person { return slices.Clone(z.people) }

// Organization, Cluster and RefreshToken are what a client is told.
func (z *Zero) Organization() string { return z.organization }

// Cluster is the id of the cluster, which is that of its namespace too.
func (z *Zero) Cluster() string { return z.cluster }

// RefreshToken is the API user token.
func (z *Zero) RefreshToken() string { return z.refreshToken }

// id is an id as the API makes them.
func (z *Zero) id() (string, error) {
	b := make([]byte, 12)
	if _, err := io.ReadFull(z.random, b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// RotateKeys makes a new key with which assertions are signed; those before stay published.
func (z *Zero) RotateKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	id, err := z.id()
	if err != nil {
		return err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.keys = append(z.keys, signingKey{id, key})
	return nil
}

// ExpireTokens makes the API refuse every id token that it has given out.
func (z *Zero) ExpireTokens() {
	z.mu.Lock()
	defer z.mu.Unlock()
	clear(z.tokens)
}

// ApplyByHand says whether changes wait in a changeset from now on.
func (z *Zero) ApplyByHand(manual bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.manual = manual
}

// Apply applies every changeset that waits.
func (z *Zero) Apply() {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, c := range z.changesets {
		if c.Status == "pending" {
			z.apply(c)
		}
	}
}

// apply makes what is written hold. The lock is held.
func (z *Zero) apply(c *Changeset) {
	c.Status, c.Updated = "applied", z.now()
	for _, p := range z.policies {
		if string(p.applied) != string(p.PPL) {
			z.lastChange++
			z.changes = append(z.changes, Change{z.lastChange, z.now(), p.Name, string(p.applied), string(p.PPL)})
		}
		p.applied = p.PPL
	}
	if over := len(z.changes) - maxChanges; over > 0 {
		z.changes = slices.Delete(z.changes, 0, over)
	}
}

// changed makes a change hold, or has it wait. The lock is held.
func (z *Zero) changed() error {
	at := slices.IndexFunc(z.changesets, func(c *Changeset) bool { return c.Status == "pending" })
	if at < 0 {
		id, err := z.id()
		if err != nil {
			return err
		}
		z.changesets = append(z.changesets, &Changeset{ID: id, Status: "pending", Created: z.now(), Updated: z.now()})
		at = len(z.changesets) - 1
	}
	if !z.manual {
		z.apply(z.changesets[at])
	}
	return nil
}

// AddPolicy makes a policy as somebody does by hand, and returns its id.
func (z *Zero) AddPolicy(name, ppl string) (string, error) {
	id, err := z.id()
	if err != nil {
		return "", err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.policies = append(z.policies, &policy{ID: id, NamespaceID: z.cluster, Name: name, PPL: json.RawMessage(ppl), Created: z.now(), Updated: z.now()})
	return id, z.changed()
}

// Edit changes the text of a policy as somebody does by hand.
func (z *Zero) Edit(name string, change func(ppl string) string) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, p := range z.policies {
		if p.Name == name {
			p.PPL, p.Updated = json.RawMessage(change(string(p.PPL))), z.now()
			return z.changed()
		}
	}
	return fmt.Errorf("there is no policy %s", name)
}

// Delete takes a policy away.
func (z *Zero) Delete(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.policies = slices.DeleteFunc(z.policies, func(p *policy) bool { return p.Name == name })
}

// PPL is the text of a policy as it is written, which may not hold yet; empty for none.
func (z *Zero) PPL(name string) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, p := range z.policies {
		if p.Name == name {
			return string(p.PPL)
		}
	}
	return ""
}

// Changesets are all there were.
func (z *Zero) Changesets() []Changeset {
	z.mu.Lock()
	defer z.mu.Unlock()
	var all []Changeset
	for _, c := range z.changesets {
		all = append(all, *c)
	}
	return all
}

// Sent are the requests that came to the API since the last call of it.
func (z *Zero) Sent() []Exchange {
	z.mu.Lock()
	defer z.mu.Unlock()
	sent := z.sent
	z.sent = nil
	return sent
}

// admits is whether a policy, as the cluster enforces it, lets a person in now.
func (z *Zero) admits(name string, who Person) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, p := range z.policies {
		if p.Name == name {
			ok, err := evaluate(p.applied, who, z.now())
			return ok && err == nil
		}
	}
	return false
}

// person is who bears an address.
func (z *Zero) person(email string) (Person, bool) {
	at := slices.IndexFunc(z.people, func(p Person) bool { return strings.EqualFold(p.Email, email) })
	if at < 0 {
		return Person{}, false
	}
	return z.people[at], true
}
