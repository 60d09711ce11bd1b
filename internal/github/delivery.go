package github

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"jitaccess/internal/access"
)

// Names of what is known of a deployment.
const (
	Environment  = "environment"
	Repository   = "repository"
	Ref          = "ref"
	SHA          = "sha"
	Event        = "event"
	Creator      = "creator"
	RunURL       = "run"
	DeploymentID = "deployment"
)

// Deployment is a deployment that waits.
type Deployment struct {
	// Key tells it from others. It is of what GitHub signs: the id of a delivery is not, so that
	// whoever sends a delivery again could give it another.
	Key string
	// Actor is who caused it, by their name at GitHub.
	Actor string
	// Callback is where the decision is taken.
	Callback string
	// Data is what is known of it, by the names above.
	Data map[string]string
}

// payload is what is read of a delivery.
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#deployment_protection_rule
type payload struct {
	Action      string `json:"action"`
	Environment string `json:"environment"`
	Event       string `json:"event"`
	Callback    string `json:"deployment_callback_url"`
	Deployment  *struct {
		ID      int64  `json:"id"`
		Ref     string `json:"ref"`
		SHA     string `json:"sha"`
		Creator *struct {
			Login string `json:"login"`
		} `json:"creator"`
	} `json:"deployment"`
	Repository struct {
		ID       int64  `json:"id"`
		FullName string `json:"full_name"`
		URL      string `json:"html_url"`
	} `json:"repository"`
	Installation struct {
		ID int64 `json:"id"`
	} `json:"installation"`
	Sender struct {
		Login string `json:"login"`
	} `json:"sender"`
}

// Read reads a delivery of the webhook. The signature is verified before anything else of it is
// looked at. asks is false for what GitHub sends and no deployment waits for, such as a ping. Errors
// are of kind Unauthenticated for what GitHub has not signed, and else of kind Invalid.
func (a App) Read(header http.Header, body []byte) (d Deployment, asks bool, err error) {
	if err := a.verify(header, body); err != nil {
		return d, false, &access.Error{Kind: access.Unauthenticated, Code: access.CodeBadDelivery, Err: err}
	}
	if event := header.Values("X-GitHub-Event"); len(event) != 1 || event[0] != "deployment_protection_rule" {
		return d, false, nil
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return d, false, invalid("the body is not the JSON that GitHub sends", err)
	}
	if p.Action != "requested" {
		return d, false, nil
	}
	run, err := a.runAt(p.Callback)
	switch {
	case !slices.Contains(a.Installations, p.Installation.ID):
		return d, false, invalid(fmt.Sprintf("the installation %d is not among installations of the application", p.Installation.ID), nil)
	case err != nil:
		return d, false, invalid(err.Error(), err)
	case run.fullName() != p.Repository.FullName:
		return d, false, invalid("the address for the decision is of another repository", nil)
	case p.Deployment == nil || p.Deployment.ID <= 0 || p.Repository.ID <= 0 || p.Environment == "" || p.Sender.Login == "":
		return d, false, invalid("the deployment, its repository, its environment or its sender is missing", nil)
	}
	d = Deployment{Key: fmt.Sprintf("github:%d:%d:%s", p.Repository.ID, p.Deployment.ID, digest(p.Environment)), Actor: p.Sender.Login,
		Callback: p.Callback, Data: map[string]string{Environment: p.Environment, Repository: p.Repository.FullName, Ref: p.Deployment.Ref,
			SHA: p.Deployment.SHA, Event: p.Event, RunURL: p.Repository.URL + "/actions/runs/" + run.id,
			DeploymentID: strconv.FormatInt(p.Deployment.ID, 10)}}
	if p.Deployment.Creator != nil {
		d.Data[Creator] = p.Deployment.Creator.Login
	}
	return d, true, nil
}

// verify is nil for a body that GitHub has signed with one of the secrets.
// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
func (a App) verify(header http.Header, body []byte) error {
	given := header.Values("X-Hub-Signature-256")
	if len(given) != 1 {
		return errors.New("X-Hub-Signature-256 must be there once")
	}
	text, named := strings.CutPrefix(given[0], "sha256=")
	signature, err := hex.DecodeString(text)
	if err != nil || !named {
		return errors.New("X-Hub-Signature-256 is not sha256= and hexadecimal digits")
	}
	for _, secret := range a.Secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write(body)
		if hmac.Equal(mac.Sum(nil), signature) {
			return nil
		}
	}
	return errors.New("the signature is by another secret, or of another body")
}

func invalid(reason string, cause error) *access.Error {
	return &access.Error{Kind: access.Invalid, Code: access.CodeBadInput, Args: access.Args{"reason": reason}, Err: cause}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
