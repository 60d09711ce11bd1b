package client

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// tokenLife is how long a token of an application is good; each call has one of its own.
	tokenLife = 5 * time.Minute
	// leastKey is how many bytes a key has at least (docs/applications.md).
	leastKey = 32
	// waitSeconds is the longest that the service lets an application wait in one call.
	waitSeconds = 25
)

// headerBehindProxy is where an application's token stands when Authorization is a proxy's.
const headerBehindProxy = "X-Nl3-Authorization-Token"

// Application is a program that asks for somebody's access (docs/applications.md).
type Application struct {
	Service *Service
	// URI is what the application is called, and Subject whose access it asks for.
	URI, Subject string
	// Key is what signs, and Claims what is said beside.
	Key    []byte
	Claims map[string]string
	// Now is the clock.
	Now func() time.Time
}

// ParseKey reads the key of an application as it is handed out.
func ParseKey(text []byte) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, errors.New("it is not the key of an application, which is in Base64") // its text is none of the error's
	}
	if len(key) < leastKey {
		return nil, errors.New("the key of an application has 32 bytes or more")
	}
	return key, nil
}

// Approval is what an application has asked for.
type Approval struct {
	ID, Status, URL string
	Expires         time.Time
	AccessToken     string `json:"access_token"`
	Decisions       []struct{ By, Verdict, Comment string }
	Warnings        []struct{ Message string }
}

// NewApproval is what is asked for; Minutes of 0 is as the template says.
type NewApproval struct {
	Template string            `json:"template"`
	Data     map[string]string `json:"data,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Minutes  int               `json:"minutes,omitempty"`
}

// Ask asks. With the same key the same is asked once, however often it is sent.
func (a Application) Ask(ctx context.Context, n NewApproval, key string) (said Approval, as Answer, err error) {
	as, err = a.call(ctx, request{method: http.MethodPost, path: "/v1/approvals", body: n,
		header: http.Header{"Idempotency-Key": {key}}}, &said)
	return said, as, err
}

// Wait is how an approval stands once it is decided, or after a while.
func (a Application) Wait(ctx context.Context, id string) (said Approval, as Answer, err error) {
	as, err = a.call(ctx, request{path: "/v1/approvals/" + url.PathEscape(id), query: url.Values{"wait": {strconv.Itoa(waitSeconds)}}}, &said)
	return said, as, err
}

func (a Application) call(ctx context.Context, q request, into any) (Answer, error) {
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	if q.header == nil {
		q.header = http.Header{}
	}
	if a.Service.Token.ByProxy() {
		q.header.Set(headerBehindProxy, token)
	} else {
		q.header.Set("Authorization", "Bearer "+token)
	}
	return a.Service.call(ctx, q, into)
}

// token says who asks and for whom: a JWT, HS256.
func (a Application) token() (string, error) {
	claims := map[string]any{}
	for name, value := range a.Claims {
		claims[name] = value
	}
	now := a.Now()
	maps.Copy(claims, map[string]any{"iss": a.URI, "aud": string(a.Service.Origin), "sub": a.Subject, "exp": now.Add(tokenLife).Unix()})
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	mac := hmac.New(sha256.New, a.Key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}
