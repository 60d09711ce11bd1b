// Package token is the activation token: a request as a signed set of claims, in
// the form in which it travels in a link. On it rests the store that needs no
// database: asking signs, opening verifies.
//
// A token is a pointer, not a key: it says what was asked, and gives nobody
// anything. It is also not a secret of ours, since whoever gets the mail has it;
// yet it never appears in an error.
package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// Signer signs claims as the service account.
type Signer interface {
	// SignJWT signs a JSON object with RS256 and returns the compact form, whose
	// header has alg, kid and typ. Errors are *access.Error.
	SignJWT(ctx context.Context, claims []byte) (string, error)
}

// Config is what a Store is made of. Everything is required unless it says
// otherwise.
type Config struct {
	// ServiceAccount is the account that signs: tokens are issued by it and to it.
	ServiceAccount string
	Signer         Signer
	// Keys are the public keys of the service account, and of nobody else.
	Keys *jose.KeySet
	// Lifetime is how long a request can be decided; 0 means an hour, as in JIT
	// Access 1.x, and more than access.LinkLife means that.
	Lifetime time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Store keeps a request in the link that points to it. It remembers nothing else:
// see Limits. Its methods may be called concurrently.
type Store struct{ c Config }

// NewStore makes a Store.
func NewStore(c Config) *Store {
	c.Lifetime = min(cmp.Or(c.Lifetime, time.Hour), access.LinkLife)
	return &Store{c}
}

// Limits says that nothing is remembered, and how long links live.
func (s *Store) Limits() access.Limits { return access.Limits{Forgets: true, LinkLife: s.c.Lifetime} }

// Open returns the request that a link carries. A request that JIT Access 1.x made
// has a Fixed window, and is refused with CodeWindowOver once that is over. When
// the public keys cannot be had the error is of kind Unavailable.
func (s *Store) Open(ctx context.Context, ref string) (access.Request, error) {
	r, err := s.verify(ctx, ref)
	now := s.c.Now()
	// Also of a link that was to live longer: what it granted is on record only so long.
	if latest := r.Created.Add(s.c.Lifetime); r.Expires.After(latest) {
		r.Expires = latest
	}
	if err == nil && r.Created.Sub(now) > access.LinkSkew {
		err = errors.New("token was made in the future")
	}
	switch {
	case errors.Is(err, jose.ErrKeysUnavailable):
		return access.Request{}, &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed,
			Args: access.Args{"service": "the key server of the service account"}, Err: err}
	case err != nil:
		return access.Request{}, &access.Error{Kind: access.NotFound, Code: access.CodeBadLink, Err: err}
	case !now.Before(r.Expires):
		return access.Request{}, &access.Error{Kind: access.Gone, Code: access.CodeLinkExpired}
	case !r.Fixed.IsZero() && !now.Before(r.Fixed.End):
		return access.Request{}, &access.Error{Kind: access.Gone, Code: access.CodeWindowOver}
	}
	return r, nil
}

// verify reads a link without regard to the time. It says that a link has expired
// only of what is otherwise good (CVE-2024-51744).
func (s *Store) verify(ctx context.Context, ref string) (access.Request, error) {
	token, err := DecodeLink(ref)
	if err != nil {
		return access.Request{}, err
	}
	claims, err := jose.Verify(ctx, token, jose.RS256, s.c.Keys)
	if err != nil {
		return access.Request{}, err
	}
	return decodeClaims(claims, s.c.ServiceAccount)
}

// Commit signs a request that was made, or to which reviewers were added, and
// returns the link form of the token. The second link has the same id, the same
// clock and the same end as the first, which stays good.
//
// Everything else it forgets, without a call: there the returned ref is empty,
// because none can be derived, and the one that opened the request stays good. No
// token is made of a request without reviewers, which nobody else needs to open.
//
// Created is now if it is zero, and Expires is the Lifetime later or, if it is set
// and earlier, as it says. Both are in whole seconds.
func (s *Store) Commit(ctx context.Context, e access.Event, _ []access.Notice) (string, error) {
	r := e.Request
	if e.Action != access.RequestMade && e.Action != access.ReviewersAdded {
		return "", nil
	}
	if e.Action == access.RequestMade && r.Version != 0 {
		return "", &access.Error{Kind: access.Conflict, Code: access.CodeConflict,
			Args: access.Args{"resource": string(r.Resource)}, Err: errors.New("the request was made before")}
	}
	if r.Created.IsZero() {
		r.Created = s.c.Now()
	}
	r.Created = r.Created.UTC().Truncate(time.Second)
	if latest := r.Created.Add(s.c.Lifetime); r.Expires.IsZero() || r.Expires.After(latest) {
		r.Expires = latest
	}
	claims, err := encodeClaims(r, s.c.ServiceAccount)
	if err != nil {
		return "", access.AsError(err)
	}
	// What the link will say is compared with what was asked before anything is
	// signed: a request that the claims cannot carry is a fault of ours.
	if err := s.carries(claims, r); err != nil {
		return "", access.AsError(err)
	}
	if (len(claims)+2)/3*4+signatureAndHeader > jose.MaxToken {
		return "", &access.Error{Kind: access.Invalid, Code: access.CodeTooLarge,
			Err: fmt.Errorf("%d bytes of claims do not fit into a link", len(claims))}
	}
	token, err := s.c.Signer.SignJWT(ctx, claims)
	if err != nil {
		return "", err
	}
	// The link is about to be sent to people: it had better open. The signing service
	// may have signed something else, or with another key than the service account's.
	// That the keys cannot be had now does not make it a bad one.
	ref, err := EncodeLink(token)
	if err == nil {
		_, err = s.verify(ctx, ref)
	}
	if err != nil && !errors.Is(err, jose.ErrKeysUnavailable) {
		return "", &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed,
			Args: access.Args{"service": "the signing service"}, Err: fmt.Errorf("what was signed does not verify: %w", err)}
	}
	return ref, nil
}

// signatureAndHeader is the room beside the claims, for a key of 4096 bits and more.
const signatureAndHeader = 1024

func (s *Store) carries(claims []byte, r access.Request) error {
	members, err := jose.ParseClaims(claims)
	if err != nil {
		return err
	}
	back, err := decodeClaims(members, s.c.ServiceAccount)
	if err != nil {
		return err
	}
	if back.FullDigest() != r.FullDigest() {
		return errors.New("the claims do not carry the whole request")
	}
	return nil
}
