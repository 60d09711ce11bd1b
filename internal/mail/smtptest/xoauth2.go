package smtptest

import (
	"encoding/base64"
	"strings"

	"github.com/emersion/go-smtp"
)

const xoauth2 = "XOAUTH2"

// maxCommand is the longest command line, its end included (RFC 5321, 4.5.3.1.4).
const maxCommand = 512

// tokenServer is the server's half of XOAUTH2, which go-sasl lacks,
// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol. A token that
// is refused is first answered with a challenge, and with a code when the client has
// answered that with an empty line.
type tokenServer struct {
	session *session
	asked   bool
	refused bool
}

func (t *tokenServer) Next(response []byte) (challenge []byte, done bool, err error) {
	no := &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8},
		Message: "Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials"}
	switch {
	case t.refused && len(response) == 0:
		return nil, true, no
	case t.refused:
		return nil, true, &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: "Cannot Decode response"}
	case !t.asked && response == nil:
		t.asked = true
		return nil, false, nil
	case !t.asked && len("AUTH "+xoauth2+" \r\n")+base64.StdEncoding.EncodedLen(len(response)) > maxCommand:
		return nil, true, &smtp.SMTPError{Code: 500, EnhancedCode: smtp.EnhancedCode{5, 5, 6}, Message: "Line too long"}
	}
	username, token, ok := parseXOAUTH2(string(response))
	if !ok {
		return nil, true, &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: "Cannot Decode response"}
	}
	err = t.session.server.options.VerifyToken(username, token)
	// After it, so that who has asked for the count sees what the judge has noted.
	t.session.server.count(&t.session.server.logIns, 1)
	if err != nil {
		t.refused = true
		return []byte(`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`), false, nil
	}
	t.session.loggedIn = true
	return nil, true, nil
}

// parseXOAUTH2 reads user=NAME ^A auth=Bearer TOKEN ^A ^A, to the byte.
func parseXOAUTH2(text string) (username, token string, ok bool) {
	fields := strings.Split(text, "\x01")
	if len(fields) != 4 || fields[2]+fields[3] != "" {
		return "", "", false
	}
	username, isUser := strings.CutPrefix(fields[0], "user=")
	token, isToken := strings.CutPrefix(fields[1], "auth=Bearer ")
	return username, token, isUser && isToken && username != "" && token != ""
}
