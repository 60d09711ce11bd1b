package bearer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/bearer"
)

var (
	noon   = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	key    = bytes.Repeat([]byte{1}, 32)
	next   = bytes.Repeat([]byte{2}, 64)
	theirs = bytes.Repeat([]byte{3}, 32)
	short  = bytes.Repeat([]byte{4}, 31)

	errDown = errors.New("the secret is disabled")

	issuers = []application.Application{
		{Name: "deployer", URI: "https://deploy.example.com", Keys: application.Known(application.Key{Secret: next}, application.Key{Secret: key}), Active: true},
		{Name: "console", URI: "https://console.example.com:8443/app", Keys: application.Known(application.Key{Secret: theirs}, application.Key{Secret: short}), Active: true},
		{Name: "empty", URI: "", Keys: application.Known(application.Key{Secret: theirs}), Active: true},
		{Name: "retired", URI: "https://retired.example.com", Keys: application.Known(application.Key{Secret: key})},
		{Name: "sealed", URI: "https://sealed.example.com", Keys: func(context.Context) ([]application.Key, error) { return nil, errDown }, Active: true},
	}
	origins = []string{"https://access.example.com", "https://machines.example.com:8443"}
)

// good is what the tokens of the tests say; a nil removes what it names.
func good(changes map[string]any) jwt.MapClaims {
	claims := jwt.MapClaims{"iss": "https://deploy.example.com", "aud": "https://access.example.com", "sub": "ana", "jti": "7",
		"iat": noon.Unix(), "nbf": noon.Add(-time.Minute).Unix(), "exp": noon.Add(5 * time.Minute).Unix()}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

func signed(t testing.TB, claims jwt.MapClaims, key []byte) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhoMadeATokenAndWhatItSays(t *testing.T) {
	token := signed(t, good(map[string]any{"ticket": "T-1", "n": 12345678901234567, "list": []string{"a"}}), key)
	a, err := bearer.Authenticate(t.Context(), token, origins, issuers, noon)
	if err != nil || a.Application != "deployer" || a.Subject != "ana" || a.ID != "jti:7" {
		t.Fatalf("%+v, %v", a, err)
	}
	text, _ := json.Marshal(a.Claims)
	if string(text) != `{"list":["a"],"n":12345678901234567,"ticket":"T-1"}` {
		t.Errorf("claims %s", text)
	}
	// Without an id it is told from others by what it is.
	one, err1 := bearer.Authenticate(t.Context(), signed(t, good(map[string]any{"jti": nil}), key), origins, issuers, noon)
	two, err2 := bearer.Authenticate(t.Context(), signed(t, good(map[string]any{"jti": nil, "sub": "ben"}), key), origins, issuers, noon)
	if err1 != nil || err2 != nil || one.ID == two.ID || !strings.HasPrefix(one.ID, "digest:") {
		t.Errorf("%q, %v; %q, %v", one.ID, err1, two.ID, err2)
	}
}

func TestWhatATokenMaySay(t *testing.T) {
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for what, changes := range map[string]map[string]any{
		"the host of the issuer":           {"iss": "deploy.example.com"},
		"the host of the service":          {"aud": "access.example.com"},
		"the machines' origin":             {"aud": "https://machines.example.com:8443"},
		"the machines' host":               {"aud": "machines.example.com:8443"},
		"no time but the end":              {"iat": nil, "nbf": nil},
		"a clock a minute ahead":           {"iat": at(time.Minute), "nbf": at(time.Minute), "exp": at(6 * time.Minute)},
		"ten minutes":                      {"exp": at(10 * time.Minute)},
		"the last second":                  {"iat": at(-9 * time.Minute), "exp": at(time.Second)},
		"a subject of the greatest length": {"sub": strings.Repeat("s", 255)},
		"no id":                            {"jti": nil},
	} {
		if _, err := bearer.Authenticate(t.Context(), signed(t, good(changes), key), origins, issuers, noon); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Both keys while one replaces the other.
	for _, k := range [][]byte{key, next} {
		if _, err := bearer.Authenticate(t.Context(), signed(t, good(nil), k), origins, issuers, noon); err != nil {
			t.Error(err)
		}
	}
}

// What is refused says nothing of the token, and nothing is known of who sent it.
func TestWhatATokenMayNotSay(t *testing.T) {
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for what, changes := range map[string]map[string]any{
		"no issuer": {"iss": nil}, "an empty issuer": {"iss": ""}, "issuers": {"iss": []string{"https://deploy.example.com"}},
		"an unknown issuer": {"iss": "https://deploy.example.org"}, "a longer issuer": {"iss": "https://deploy.example.com/"}, "a part of it": {"iss": "example.com"},
		"another's issuer": {"iss": "https://console.example.com:8443/app"}, "another's host": {"iss": "console.example.com:8443"}, "the name": {"iss": "deployer"},
		"no audience": {"aud": nil}, "an empty one": {"aud": ""}, "audiences": {"aud": []string{"https://access.example.com"}}, "another": {"aud": "https://access.example.org"},
		"a longer audience": {"aud": "https://access.example.com/v1"}, "another port": {"aud": "https://machines.example.com"}, "a number": {"aud": 1},
		"no subject": {"sub": nil}, "an empty subject": {"sub": ""}, "subjects": {"sub": []string{"ana"}}, "a subject too long": {"sub": strings.Repeat("s", 256)},
		"no end": {"exp": nil}, "an end that is text": {"exp": "1"}, "a fraction": {"exp": 1795867500.5}, "over": {"exp": at(0)}, "long over": {"exp": at(-time.Hour)},
		"far": {"exp": at(10*time.Minute + time.Second)}, "far without a beginning": {"iat": nil, "exp": at(11*time.Minute + time.Second)},
		"very far": {"iat": nil, "exp": int64(1) << 62}, "before time": {"exp": int64(-1) << 62},
		"not good yet": {"nbf": at(time.Minute + time.Second)}, "not good for ages": {"nbf": int64(math.MaxInt64)}, "a beginning that is none": {"nbf": "now"},
		"made ahead": {"iat": at(time.Minute + time.Second), "exp": at(5 * time.Minute)}, "made at no time": {"iat": "now"}, "made very far": {"iat": int64(math.MaxInt64)},
		"an empty id": {"jti": ""}, "an id that is none": {"jti": 7}, "an id too long": {"jti": strings.Repeat("j", 256)},
		"deep": {"x": json.RawMessage("[[[[[[[[1]]]]]]]]")},
	} {
		a, err := bearer.Authenticate(t.Context(), signed(t, good(changes), key), origins, issuers, noon)
		if err == nil || a.Application != "" || strings.Contains(err.Error(), "ana") || strings.Contains(err.Error(), "example") {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
	}
	for what, token := range map[string]string{
		"nothing":                signed(t, good(nil), key)[:20],
		"another's key":          signed(t, good(nil), theirs),
		"another's key and name": signed(t, good(map[string]any{"iss": "https://console.example.com:8443/app"}), key),
		"a short key":            signed(t, good(map[string]any{"iss": "console.example.com:8443"}), short),
		"one without a name":     signed(t, good(map[string]any{"iss": ""}), theirs),
		"one that is not active": signed(t, good(map[string]any{"iss": "retired.example.com"}), key),
		"an unknown key":         signed(t, good(nil), bytes.Repeat([]byte{9}, 32)),
	} {
		if a, err := bearer.Authenticate(t.Context(), token, origins, issuers, noon); err == nil {
			t.Errorf("%s: %+v", what, a)
		}
	}
}

// Whose keys are not known now, nobody is told that they are wrong.
func TestKeysThatAreNotKnownNow(t *testing.T) {
	for iss, want := range map[string]error{"sealed.example.com": errDown, "deploy.example.com": nil} {
		_, err := bearer.Authenticate(t.Context(), signed(t, good(map[string]any{"iss": iss}), theirs), origins, issuers, noon)
		e, _ := errors.AsType[*access.Error](err)
		if err == nil || want != nil && (e == nil || e.Kind != access.Unavailable || !errors.Is(err, want)) || want == nil && e != nil {
			t.Errorf("%s: %v", iss, err)
		}
	}
}

// An access token is no authentication token, nor the other way round, whoever made it.
func TestTokensAreOfOneKind(t *testing.T) {
	s := signer(t, key)
	text, err := s.Sign(granted)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := bearer.Authenticate(t.Context(), text, origins, issuers, noon); err == nil {
		t.Errorf("%+v", a)
	}
	if a, err := s.Verify(signed(t, good(nil), key)); err == nil {
		t.Errorf("%+v", a)
	}
	// The published key as a secret, as it stands in the document and as its coordinates.
	for _, secret := range [][]byte{s.KeySet(), bytes.TrimSpace(s.KeySet())} {
		if a, err := bearer.Authenticate(t.Context(), signed(t, good(nil), secret), origins, issuers, noon); err == nil {
			t.Errorf("%+v", a)
		}
		if a, err := s.Verify(signed(t, good(nil), secret)); err == nil {
			t.Errorf("%+v", a)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	for _, claims := range []jwt.MapClaims{good(nil), good(map[string]any{"jti": nil, "x": map[string]any{"y": 1}})} {
		f.Add(signed(f, claims, key))
	}
	f.Fuzz(func(t *testing.T, token string) {
		if a, err := bearer.Authenticate(t.Context(), token, origins, issuers, noon); err == nil && (a.Application != "deployer" || a.Subject == "" || a.ID == "") {
			t.Errorf("%+v", a)
		}
	})
}

// Of an application that is damaged nobody knows which tokens are its: what is nobody else's is not
// said to be nobody's. What others have signed is as good as it was, and as bad.
func TestTokensBesideADamagedApplication(t *testing.T) {
	all := append([]application.Application{application.Damaged("lost", &access.Error{Kind: access.Unprocessable, Code: access.CodeDeedsDamaged})}, issuers...)
	if a, err := bearer.Authenticate(t.Context(), signed(t, good(nil), key), origins, all, noon); err != nil || a.Application != "deployer" {
		t.Errorf("%+v, %v", a, err)
	}
	for what, token := range map[string]string{"of nobody": signed(t, good(map[string]any{"iss": "https://lost.example.com"}), key),
		"of an empty issuer": signed(t, good(map[string]any{"iss": ""}), key)} {
		if _, err := bearer.Authenticate(t.Context(), token, origins, all, noon); access.AsError(err).Code != access.CodeApplicationsUnknown {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := bearer.Authenticate(t.Context(), signed(t, good(nil), theirs), origins, all, noon)
	if own := (*access.Error)(nil); err == nil || errors.As(err, &own) {
		t.Errorf("a wrong signature: %v", err)
	}
}
