package oauth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"jitaccess/internal/access"
)

// examine looks whether an answer holds what was asked for, and how long it is good.
func (s *Source) examine(t *oauth2.Token) (life time.Duration, err error) {
	no := func(code, why string) (time.Duration, error) { return 0, s.fault(access.Upstream, 0, code, why) }
	if !strings.EqualFold(t.Type(), "Bearer") {
		return no("", "it issues tokens of the type "+s.quoted(t.TokenType)+", and mail servers take \"Bearer\"")
	}
	if len(t.AccessToken) > maxToken {
		return no("", fmt.Sprintf("its token is longer than what mail servers take, %d characters", maxToken))
	}
	// Anything else would be taken apart differently by the mail server.
	if strings.ContainsFunc(t.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return no("", "its token has characters that a token cannot have")
	}
	if life = lifetime(t); life <= 0 {
		return no("", "its token has ended already")
	}
	issuedTo := claimsOf(t.AccessToken).texts("appid", "azp", "client_id")
	if s.c.ClientID != "" && len(issuedTo) > 0 && !slices.Contains(issuedTo, s.c.ClientID) {
		return no(CodeOtherApplication, "its token is for another application, "+s.quoted(issuedTo[0]))
	}
	return life, nil
}

// lifetime is what the answer says. The library's reading goes by the machine's clock.
func lifetime(t *oauth2.Token) time.Duration {
	seconds := unknownLife.Seconds()
	switch said := t.Extra("expires_in").(type) {
	case float64:
		seconds = said
	case int64:
		seconds = float64(said)
	case string:
		whole, err := strconv.Atoi(said)
		if err != nil {
			return 0
		}
		seconds = float64(whole)
	}
	// What is no number is not more than 0 either.
	if !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, maxLife.Seconds())) * time.Second
}

// unfit says why the mail server has refused a token, if the token itself tells. It
// is asked only then: that a token bears another name need not keep anybody from
// sending, with a mailbox that several people share, for example.
func (s *Source) unfit(token string) error {
	c := claimsOf(token)
	no := func(code, why string) error { return s.fault(access.Upstream, 0, code, why) }
	holders := c.texts("upn", "preferred_username", "email", "unique_name", "sub")
	holders = slices.DeleteFunc(holders, func(name string) bool { return !strings.Contains(name, "@") })
	if len(holders) > 0 && !slices.ContainsFunc(holders, func(name string) bool { return strings.EqualFold(name, s.c.Mailbox) }) {
		return no(CodeOtherMailbox, "its token is for "+s.quoted(holders[0])+", and the log-in for "+s.quoted(s.c.Mailbox))
	}
	if slices.ContainsFunc(c.texts("aud"), func(audience string) bool { return slices.Contains(graph, strings.TrimSuffix(audience, "/")) }) {
		return no(CodeOtherService, "its token is for Microsoft Graph, and not for the mail server")
	}
	// Only tokens of Microsoft's have a tid, and only those of an application that
	// logs in as itself have no scp (learn.microsoft.com, "Access token claims
	// reference").
	if len(c.texts("tid")) > 0 && len(c.texts("scp")) == 0 && !slices.Contains(c.texts("roles"), sendAsApp) {
		return no(CodeMissingRole, "its token lacks the role "+sendAsApp)
	}
	return nil
}

// graph are the names of Microsoft Graph as an audience.
var graph = []string{"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"}

// sendAsApp is the permission for an application to log in to SMTP
// (learn.microsoft.com, "Authenticate an IMAP, POP or SMTP connection using OAuth").
const sendAsApp = "SMTP.SendAsApp"

// claims are what a token says of itself, unverified. They serve to find mistakes.
type claims map[string]any

// claimsOf reads a token if it is a JWT. Many are not, and say nothing.
func claimsOf(token string) claims {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var c claims
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return nil
	}
	return c
}

// texts are the values of those claims that are texts or lists of them.
func (c claims) texts(names ...string) (found []string) {
	for _, name := range names {
		switch value := c[name].(type) {
		case string:
			found = append(found, value)
		case []any:
			for _, entry := range value {
				text, _ := entry.(string)
				found = append(found, text)
			}
		}
	}
	return slices.DeleteFunc(found, func(text string) bool { return text == "" })
}
