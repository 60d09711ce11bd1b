package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/outbound"
)

const (
	// callTime bounds one call, and maxAnswer, in bytes, what is read of its answer.
	callTime  = 10 * time.Second
	maxAnswer = 1 << 20
	// tokenMargin is how long before its end a token is not used any more; maxTokens how many are
	// kept.
	tokenMargin = 5 * time.Minute
	maxTokens   = 1000
	// maxPause is the longest that GitHub is left alone because it said so.
	maxPause = time.Hour
)

// Client calls GitHub. The zero value of what is not exported is right.
type Client struct {
	// HTTP follows no redirects (package outbound).
	HTTP *http.Client
	Now  func() time.Time

	mu sync.Mutex
	// tokens are those of installations, each for one repository.
	tokens map[string]token
	// paused is until when GitHub wants to be left alone, by app.
	paused map[string]time.Time
}

type token struct {
	text string
	ends time.Time
}

// review tells GitHub of a decision about a deployment, which waits in an environment. Errors are
// *access.Error: what may pass is (MayPass), and everything else will not do a second time either.
func (c *Client) review(ctx context.Context, a App, callback, environment, state, comment string) error {
	run, err := a.runAt(callback)
	if err != nil {
		return never(err.Error())
	}
	body := map[string]string{"environment_name": environment, "state": state, "comment": comment}
	for again := false; ; again = true {
		token, err := c.token(ctx, a, run, again)
		if err != nil {
			return err
		}
		status, err := c.call(ctx, a, http.MethodPost, callback, token, body, nil)
		if status == http.StatusUnauthorized && !again { // a token can be revoked before its end
			continue
		}
		switch status {
		case http.StatusForbidden:
			return passing(access.Upstream, "GitHub lets the app decide nothing in "+run.fullName()+": it needs the permission Deployments, "+
				"read and write, and its owner has to accept that", err)
		case http.StatusNotFound, http.StatusGone:
			return never("GitHub knows of no run " + run.id + " of " + run.fullName() + " for which the app decides: it was deleted, or the " +
				"rule was taken out of the environment; see the run at GitHub")
		case http.StatusUnprocessableEntity:
			return never("GitHub takes no decision about run " + run.id + " of " + run.fullName() + " any more: it is decided already, or " +
				"over; see the run at GitHub")
		}
		return err
	}
}

// Installation is an installation of an app, as GitHub describes it.
type Installation struct {
	ID      int64 `json:"id"`
	Account struct {
		Login string `json:"login"`
	} `json:"account"`
	Permissions map[string]string `json:"permissions"`
	Events      []string          `json:"events"`
	Suspended   string            `json:"suspended_at"`
}

// Installed describes an installation of the app, whoever it is.
func (c *Client) Installed(ctx context.Context, a App, id int64) (Installation, error) {
	var said Installation
	return said, c.asApp(ctx, a, http.MethodGet, "/app/installations/"+strconv.FormatInt(id, 10), nil, &said)
}

// token is one that lets the app decide about deployments of one repository, and nothing else.
func (c *Client) token(ctx context.Context, a App, r run, fresh bool) (string, error) {
	name := a.API + " " + a.ID + " " + r.fullName()
	now := c.Now()
	c.mu.Lock()
	kept := c.tokens[name]
	c.mu.Unlock()
	if !fresh && now.Before(kept.ends.Add(-tokenMargin)) {
		return kept.text, nil
	}
	var found Installation
	if err := c.asApp(ctx, a, http.MethodGet, "/repos/"+r.fullName()+"/installation", nil, &found); err != nil {
		return "", err
	}
	if !slices.Contains(a.Installations, found.ID) {
		return "", never(fmt.Sprintf("the app is in %s by installation %d, which is not among installations of the application", r.fullName(),
			found.ID))
	}
	// https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
	body := map[string]any{"repositories": []string{r.repository}, "permissions": map[string]string{"deployments": "write"}}
	var made struct {
		Token string    `json:"token"`
		Ends  time.Time `json:"expires_at"`
	}
	if err := c.asApp(ctx, a, http.MethodPost, fmt.Sprintf("/app/installations/%d/access_tokens", found.ID), body, &made); err != nil {
		return "", err
	}
	if made.Token == "" {
		return "", passing(access.Upstream, "GitHub gave no token", nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.tokens, func(_ string, t token) bool { return !now.Before(t.ends) })
	if c.tokens == nil || len(c.tokens) >= maxTokens {
		c.tokens = map[string]token{}
	}
	c.tokens[name] = token{made.Token, made.Ends}
	return made.Token, nil
}

// asApp calls GitHub as the app itself, by a JWT.
// https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
func (c *Client) asApp(ctx context.Context, a App, method, path string, body, into any) error {
	now := c.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": a.ID, "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix()}).SignedString(a.Key)
	if err != nil {
		return err
	}
	status, err := c.call(ctx, a, method, a.API+path, signed, body, into)
	switch status {
	case http.StatusUnauthorized:
		return passing(access.Upstream, "GitHub does not take the app for itself: app_id and private_key must be of the same app, and the "+
			"clock here right", err)
	case http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity:
		return passing(access.Upstream, "GitHub gives the app no token: it is not installed there, is suspended, or lacks the permission "+
			"Deployments, read and write", err)
	}
	return err
}

// call makes one call. The status is 0 where there was no answer; the error is nil for 2xx alone.
func (c *Client) call(ctx context.Context, a App, method, to, token string, body, into any) (int, error) {
	c.mu.Lock()
	until := c.paused[a.ID]
	c.mu.Unlock()
	if c.Now().Before(until) {
		return 0, passing(access.TooMany, "GitHub wants to be left alone until "+until.UTC().Format(time.RFC3339), nil)
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, to, content)
	if err != nil {
		return 0, err
	}
	for name, value := range map[string]string{"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28",
		"User-Agent": "jitaccess", "Authorization": "Bearer " + token} {
		request.Header.Set(name, value)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return 0, passing(access.Upstream, "GitHub cannot be reached", err)
	}
	answer := outbound.Bound(response.Body, maxAnswer)
	defer answer.Close()
	if pause := c.pauseOf(response); pause > 0 {
		c.mu.Lock()
		if c.paused == nil {
			c.paused = map[string]time.Time{}
		}
		c.paused[a.ID] = c.Now().Add(pause)
		c.mu.Unlock()
		return 0, passing(access.TooMany, "GitHub wants fewer calls, and to be left alone for "+pause.String(), nil)
	}
	switch status := response.StatusCode; {
	case status/100 != 2:
		failed := fmt.Errorf("GitHub answered %d %s", status, http.StatusText(status))
		if status >= 500 || status == http.StatusUnauthorized || status == http.StatusRequestTimeout {
			return status, passing(access.Upstream, failed.Error(), nil)
		}
		return status, never(failed.Error())
	case into != nil:
		if err := json.NewDecoder(answer).Decode(into); err != nil {
			return 0, passing(access.Upstream, "GitHub's answer cannot be read", err)
		}
	}
	return response.StatusCode, nil
}

// pauseOf is for how long GitHub wants no calls after an answer: it says so with 403 or 429.
// https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#handle-rate-limit-errors-appropriately
func (c *Client) pauseOf(r *http.Response) time.Duration {
	if r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusTooManyRequests {
		return 0
	}
	pause := time.Duration(0)
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil {
		pause = time.Duration(min(max(seconds, 1), int(maxPause/time.Second))) * time.Second
	} else if at, err := strconv.ParseInt(r.Header.Get("X-RateLimit-Reset"), 10, 64); err == nil &&
		r.Header.Get("X-RateLimit-Remaining") == "0" {
		pause = max(time.Second, time.Unix(at, 0).Sub(c.Now()))
	} else if r.StatusCode == http.StatusTooManyRequests {
		pause = time.Minute
	}
	return min(pause, maxPause)
}

// never is the error of what fails in the same way when it is tried again.
func never(text string) *access.Error {
	return &access.Error{Kind: access.Unprocessable, Code: access.CodeNotCalledBack, Err: errors.New(text)}
}

// passing is the error of what may pass, by itself or once somebody has put right what it names.
func passing(kind access.Kind, text string, cause error) *access.Error {
	if e, ours := errors.AsType[*access.Error](cause); ours {
		cause = e.Err
	}
	if cause != nil {
		text += " (" + cause.Error() + ")"
	}
	return &access.Error{Kind: kind, Code: access.CodeNotCalledBack, Err: errors.New(text)}
}
