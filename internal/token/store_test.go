package token_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/storetest"
	"jitaccess/internal/jose"
	"jitaccess/internal/token"
	"jitaccess/internal/token/tokentest"
)

var _ broker.Store = (*token.Store)(nil)

const account = "jitaccess@ops-prod.iam.gserviceaccount.com"

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// signer is shared: making a key is what takes time in these tests.
var signer = sync.OnceValue(func() *tokentest.Signer {
	s, err := tokentest.New()
	if err != nil {
		panic(err)
	}
	return s
})

func newStore(c *clock, change ...func(*token.Config)) *token.Store {
	config := token.Config{
		ServiceAccount: account,
		Signer:         signer(),
		Keys:           jose.NewKeySet(signer().KeySet, c.now),
		Now:            c.now,
	}
	for _, f := range change {
		f(&config)
	}
	return token.NewStore(config)
}

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		c := newClock()
		return storetest.Fixture{Store: newStore(c), Now: c.now, Advance: c.advance}
	})
}

// asked is a request as the broker makes it.
func asked(c *clock) access.Request {
	return access.Request{
		ID: "mpa-0123456789abcdef", Kind: access.Peers, Principal: "ana@example.com", Resource: "projects/shop-prod",
		Entitlements:  []access.EntitlementID{{Resource: "projects/shop-prod", Role: "roles/compute.admin", Condition: "a < b"}},
		Justification: "b/42 <urgent>", Duration: 30 * time.Minute,
		Reviewers: []access.Principal{"ben@example.com", "chloe@example.com"},
		Created:   c.now(), Expires: c.now().Add(time.Hour),
	}
}

func commitMade(s *token.Store, r access.Request) (string, error) {
	return s.Commit(context.Background(), access.Event{Action: access.RequestMade, Request: r}, nil)
}

// signed returns the claims that were signed for a request.
func signed(t *testing.T, s *token.Store, r access.Request) claims {
	t.Helper()
	ref, err := commitMade(s, r)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := token.DecodeLink(ref)
	if err != nil {
		t.Fatal(err)
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c claims
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTokenHasTheClaimsOfJITAccess1AndItsOwn(t *testing.T) {
	c := newClock()
	for what, test := range map[string]struct {
		change func(*access.Request)
		want   map[string]any
	}{
		"one role": {
			func(*access.Request) {},
			map[string]any{"start": float64(iat), "end": float64(iat + 1800), "entitlement": "shop-prod:roles/compute.admin:YSA8IGI="},
		},
		"several roles, so that 1.x refuses": {
			func(r *access.Request) {
				r.Entitlements = append(r.Entitlements, access.EntitlementID{Resource: r.Resource, Role: "roles/viewer"})
			},
			map[string]any{"start": float64(iat), "end": float64(iat + 1800),
				"entitlements": []any{"shop-prod:roles/compute.admin:YSA8IGI=", "shop-prod:roles/viewer"}},
		},
		"a later start": {
			func(r *access.Request) { r.Start = r.Created.Add(2 * time.Hour) },
			map[string]any{"start": float64(iat + 7200), "end": float64(iat + 9000), "entitlement": "shop-prod:roles/compute.admin:YSA8IGI="},
		},
	} {
		r := asked(c)
		test.change(&r)
		want := map[string]any{
			"iss": account, "aud": account, "iat": float64(iat), "exp": float64(iat + 3600), "jti": "mpa-0123456789abcdef",
			"beneficiary": "ana@example.com", "reviewers": []any{"ben@example.com", "chloe@example.com"},
			"justification": "b/42 <urgent>", "purpose": "activation", "duration": float64(1800),
		}
		maps.Copy(want, test.want)
		got := signed(t, newStore(c), r)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: claims\n%v, want\n%v", what, got, want)
		}
	}
}

func TestLifetime(t *testing.T) {
	for what, test := range map[string]struct {
		lifetime time.Duration
		expires  time.Duration // from now; 0 is not set
		want     time.Duration
	}{
		"nothing said":                 {0, 0, time.Hour},
		"as configured":                {90 * time.Minute, 0, 90 * time.Minute},
		"six hours at the most":        {12 * time.Hour, 0, 6 * time.Hour},
		"six hours, whatever is asked": {12 * time.Hour, 24 * time.Hour, 6 * time.Hour},
		"as asked, if that is earlier": {time.Hour, 10 * time.Minute, 10 * time.Minute},
		"not as asked, if it is later": {time.Hour, 2 * time.Hour, time.Hour},
	} {
		c := newClock()
		r := asked(c)
		if r.Expires = (time.Time{}); test.expires != 0 {
			r.Expires = c.now().Add(test.expires)
		}
		got := signed(t, newStore(c, func(config *token.Config) { config.Lifetime = test.lifetime }), r)
		if seconds := int64(test.want / time.Second); got["exp"] != float64(iat+seconds) {
			t.Errorf("%s: exp is iat + %v s, want %d", what, got["exp"].(float64)-float64(iat), seconds)
		}
	}
}

// What the claims cannot carry whole is not signed.
func TestOnlyWhatTheLinkCanSayIsSigned(t *testing.T) {
	c := newClock()
	store := newStore(c, func(config *token.Config) { config.Signer = signerFunc(nil) })
	for what, change := range map[string]func(*access.Request){
		"an id of self-approval":  func(r *access.Request) { r.ID = "jit-0123456789abcdef" },
		"no id":                   func(r *access.Request) { r.ID = "" },
		"no principal":            func(r *access.Request) { r.Principal = "" },
		"a principal in capitals": func(r *access.Request) { r.Principal = "Ana@example.com" },
		"no entitlement":          func(r *access.Request) { r.Entitlements = nil },
		"another resource":        func(r *access.Request) { r.Resource = "projects/shop-test" },
		"roles of two resources": func(r *access.Request) {
			r.Entitlements = append(r.Entitlements, access.EntitlementID{Resource: "projects/x", Role: "roles/viewer"})
		},
		"no reviewers":               func(r *access.Request) { r.Reviewers = nil },
		"a duration of half minutes": func(r *access.Request) { r.Duration = 90 * time.Second },
		"no duration":                func(r *access.Request) { r.Duration = 0 },
		"a start in the past":        func(r *access.Request) { r.Start = r.Created.Add(-time.Hour) },
		"a start at once":            func(r *access.Request) { r.Start = r.Created },
		"expired already":            func(r *access.Request) { r.Expires = r.Created },
		"a window of its own":        func(r *access.Request) { r.Fixed = access.Window{Start: r.Created, End: r.Created.Add(time.Hour)} },
		"no justification":           func(r *access.Request) { r.Justification = "" },
		"a broken justification":     func(r *access.Request) { r.Justification = "a\xff" },
	} {
		r := asked(c)
		change(&r)
		_, err := commitMade(store, r)
		wantError(t, what, err, access.Internal, access.CodeInternal)
	}
}

func TestRequestThatDoesNotFitIsRefused(t *testing.T) {
	c := newClock()
	r := asked(c)
	r.Entitlements[0].Condition = strings.Repeat("x", 5000)
	_, err := commitMade(newStore(c, func(config *token.Config) { config.Signer = signerFunc(nil) }), r)
	wantError(t, "a long condition", err, access.Invalid, access.CodeTooLarge)
}

// signerFunc signs as the function says; nil must not be called.
type signerFunc func(context.Context, []byte) (string, error)

func (f signerFunc) SignJWT(ctx context.Context, claims []byte) (string, error) {
	return f(ctx, claims)
}

func TestSigningFails(t *testing.T) {
	c := newClock()
	refused := &access.Error{Kind: access.NotAllowed, Code: access.CodeSigningNotAllowed, Args: access.Args{"account": account}}
	store := newStore(c, func(config *token.Config) {
		config.Signer = signerFunc(func(context.Context, []byte) (string, error) { return "", refused })
	})
	if ref, err := commitMade(store, asked(c)); !errors.Is(err, refused) || ref != "" {
		t.Errorf("ref %q, error %v", ref, err)
	}
}

func TestLinkThatWouldNotOpenIsNotGivenOut(t *testing.T) {
	other, err := tokentest.New()
	if err != nil {
		t.Fatal(err)
	}
	for what, sign := range map[string]signerFunc{
		"another account's key": other.SignJWT,
		"not a token":           func(context.Context, []byte) (string, error) { return "signed", nil },
		"other claims": func(ctx context.Context, _ []byte) (string, error) {
			return signer().SignJWT(ctx, []byte(`{"iss":"x"}`))
		},
	} {
		c := newClock()
		ref, err := commitMade(newStore(c, func(config *token.Config) { config.Signer = sign }), asked(c))
		wantError(t, what, err, access.Upstream, access.CodeUpstreamFailed)
		if ref != "" {
			t.Errorf("%s: ref %q", what, ref)
		}
	}
}

func TestKeyServerOutage(t *testing.T) {
	c := newClock()
	up := false
	keys := jose.NewKeySet(func(ctx context.Context) ([]byte, error) {
		if !up {
			return nil, errors.New("connection refused")
		}
		return signer().KeySet(ctx)
	}, c.now)
	store := newStore(c, func(config *token.Config) { config.Keys = keys })
	ref, err := commitMade(store, asked(c))
	if err != nil {
		t.Fatalf("an outage failed the request: %v", err)
	}
	_, err = open(store, ref)
	wantError(t, "opening during an outage", err, access.Unavailable, access.CodeUpstreamFailed)
	up = true
	if _, err := open(store, ref); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

// The keys that verified a link a day ago may have been withdrawn since.
func TestKeysOfYesterdayVerifyNoLink(t *testing.T) {
	c, up := newClock(), true
	keys := jose.NewKeySet(func(ctx context.Context) ([]byte, error) {
		if !up {
			return nil, errors.New("connection refused")
		}
		return signer().KeySet(ctx)
	}, c.now)
	store := newStore(c, func(config *token.Config) { config.Keys = keys })
	if _, err := commitMade(store, asked(c)); err != nil {
		t.Fatal(err)
	}
	up = false
	c.advance(24*time.Hour - time.Minute)
	ref, err := commitMade(store, asked(c))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(store, ref); err != nil {
		t.Errorf("within a day: %v", err)
	}
	c.advance(time.Minute)
	_, err = open(store, ref)
	wantError(t, "after a day", err, access.Unavailable, access.CodeUpstreamFailed)
}

func TestCommitForgetsAllButRequests(t *testing.T) {
	c := newClock()
	store := newStore(c, func(config *token.Config) { config.Signer = signerFunc(nil) })
	r := asked(c)
	r.Version = 1
	for _, action := range []access.Action{access.SelfApproved, access.RequestApproved, access.RequestDenied, access.GrantWritten,
		access.GrantFailed, access.EndAsked, access.GrantEnded, access.EndFailed, access.ActionRefused, access.NoticeFailed} {
		ref, err := store.Commit(context.Background(), access.Event{Action: action, Request: r}, nil)
		if ref != "" || err != nil {
			t.Errorf("%s: ref %q, error %v", action, ref, err)
		}
	}
	_, err := commitMade(store, r)
	wantError(t, "made again", err, access.Conflict, access.CodeConflict)
}

func TestThreat08_EveryChangedBitIsABadLink(t *testing.T) {
	c := newClock()
	store := newStore(c)
	ref, err := commitMade(store, asked(c))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(ref) {
		for bit := range 8 {
			changed := []byte(ref)
			changed[i] ^= 1 << bit
			_, err := open(store, string(changed))
			wantBadLink(t, fmt.Sprintf("bit %d of byte %d", bit, i), err)
		}
	}
}

func TestThreat04_NoErrorCarriesTheToken(t *testing.T) {
	c := newClock()
	store := newStore(c)
	ref, err := commitMade(store, asked(c))
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := token.DecodeLink(ref)
	if err != nil {
		t.Fatal(err)
	}
	secrets := strings.Split(jwt, ".")
	_, asJWT := open(store, jwt)
	_, cut := open(store, ref[:len(ref)-4])
	_, spoilt := open(store, strings.Replace(ref, "~~", "~~A", 1))
	c.advance(2 * time.Hour)
	_, expired := open(store, ref)
	for _, err := range []error{asJWT, cut, spoilt, expired} {
		if err == nil || slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(err.Error(), s[:20]) }) {
			t.Errorf("error %v", err)
		}
	}
}

func TestTokenIsRefusedAsItStands(t *testing.T) {
	c := newClock()
	jwt, err := signer().SignJWT(context.Background(), []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(newStore(c), jwt)
	wantBadLink(t, "a raw token", err)
}

// What is signed is compared with all that was asked, also with who was.
func TestClaimsCarryAllThatWasAsked(t *testing.T) {
	const account = "jitaccess@example-jitaccess.iam.gserviceaccount.com"
	r := asked(newClock())
	text, err := token.WriteClaims(r, account)
	if err != nil || token.Carries(text, account, r) != nil {
		t.Fatal(err, token.Carries(text, account, r))
	}
	for what, change := range map[string]func(*access.Request){
		"another reviewer":  func(r *access.Request) { r.Reviewers = []access.Principal{"ben@example.com", "dora@example.com"} },
		"one reviewer more": func(r *access.Request) { r.Reviewers = append(slices.Clone(r.Reviewers), "dora@example.com") },
		"another reason":    func(r *access.Request) { r.Justification = "because" },
		"another kind":      func(r *access.Request) { r.Kind = access.Self },
	} {
		other := r
		if change(&other); token.Carries(text, account, other) == nil {
			t.Errorf("%s goes unnoticed", what)
		}
	}
}

// A request that JIT Access 1.x made keeps its fixed window, and the shape that says
// so, when its requester asks more people.
func TestReviewersAddedToARequestOf1x(t *testing.T) {
	c := newClock()
	s := newStore(c)
	for what, older := range map[string]claims{"1.8": of1x8(), "1.7": of1x7()} {
		r, err := open(s, linkOf(t, signer(), older))
		if err != nil {
			t.Fatal(err)
		}
		r.Reviewers = append(r.Reviewers, "dora@example.com")
		ref, err := s.Commit(t.Context(), access.Event{Action: access.ReviewersAdded, Request: r}, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		again, err := open(s, ref)
		if err != nil || again.FullDigest() != r.FullDigest() || again.Fixed != r.Fixed || !again.Created.Equal(r.Created) || !again.Expires.Equal(r.Expires) {
			t.Errorf("%s: %+v, %v; want %+v", what, again, err, r)
		}
	}
}

// How long links get. What is beyond 2,000 characters is said by the broker.
func TestLengthOfLinks(t *testing.T) {
	c := newClock()
	s := newStore(c, func(config *token.Config) {
		config.ServiceAccount = "jitaccess@example-jitaccess.iam.gserviceaccount.com"
	})
	for _, test := range []struct {
		what      string
		reviewers int
		reason    string
		longest   int
	}{
		{"one reviewer, a ticket number", 1, "b/42", 1200},
		{"ten reviewers, a short reason", 10, "Node 7 of the orders cluster hangs, case 4711", 2000},
		{"ten reviewers, the longest reason that 1.x took", 10, strings.Repeat("x", 99), 2000},
		{"ten reviewers, the longest reason", 10, strings.Repeat("x", access.MaxJustification), 2000},
		{"ten reviewers, the longest reason in a script of 3 bytes a character", 10, strings.Repeat("障", access.MaxJustification), 2700},
	} {
		r := asked(c)
		r.Justification, r.Reviewers = test.reason, nil
		for i := range test.reviewers {
			r.Reviewers = append(r.Reviewers, access.Principal(fmt.Sprintf("firstname.lastname%d@example.com", i)))
		}
		ref, err := commitMade(s, r)
		if err != nil {
			t.Fatal(err)
		}
		link := len("https://jitaccess-264853019977.europe-west1.run.app/?activation=" + ref + "&projectId=shop-prod")
		t.Logf("%s: %d characters", test.what, link)
		if link > test.longest {
			t.Errorf("%s: %d characters, more than %d", test.what, link, test.longest)
		}
	}
}
