package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"jitaccess/internal/access"
	"jitaccess/internal/redact"
)

// refusedGrant is an error of a token endpoint.
type refusedGrant struct{ code, description string }

func (e *refusedGrant) Error() string                { return e.code + ": " + e.description }
func (e *refusedGrant) OAuthError() (string, string) { return e.code, e.description }

// said is an answer of a server: a code and the text after it. A line break in the
// text begins another line of the answer.
func said(answer string) error {
	code, text, _ := strings.Cut(answer, " ")
	n, err := strconv.Atoi(code)
	if err != nil {
		panic(err)
	}
	return &textproto.Error{Code: n, Msg: text}
}

func grant(code, description string) error {
	return &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "token endpoint"}, Err: &refusedGrant{code, description}}
}

// gone is what Secret Manager answers about a version that cannot be read any more.
func gone(state string) error {
	return &access.Error{Kind: access.Unprocessable, Code: access.CodePlatformRefused,
		Err: errors.New(`Secret Manager answered 400: "Secret Version [projects/264853019977/secrets/smtp-password/versions/4] is in ` + state + ` state."`)}
}

// unusable is that, as its reader says it. Of a long name the end is cut off.
func unusable(secret string) error {
	return &access.Error{Kind: access.Unprocessable, Code: access.CodeSecretUnusable, Args: access.Args{"secret": secret, "state": "disabled"},
		Err: errors.New(`Secret Manager answered 400: "Secret Version [` + secret + `…"`)}
}

func dialling(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

// TestRefusalsAreExplained has what servers say, as they say it, and what operators
// read of it: a piece of the meaning, and a piece of the remedy. Every row of the
// table of explanations must be met.
func TestRefusalsAreExplained(t *testing.T) {
	met := map[*explanation]bool{}
	for _, test := range []struct {
		at      step
		err     error
		meaning string
		remedy  string
	}{
		// Exchange Online.
		{atLogin, said("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [AM6PR0102CA0024.eurprd01.prod.exchangelabs.com]"),
			"off for the whole Microsoft 365 tenant", "Manage email apps, Authenticated SMTP"},
		{atLogin, said("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information."),
			"off for the mailbox", "Manage email apps, Authenticated SMTP"},
		{atLogin, said("535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator."),
			"security defaults", "SMTP_AUTH=oauth2"},
		{atLogin, said("535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [PN0PR01CA0024.INDPRD01.PROD.OUTLOOK.COM 2025-01-26T18:54:30.055Z 08DD3DD7D75D7743]"),
			"takes no password", "SMTP_AUTH=oauth2"},
		{atLogin, said("535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator."),
			"Conditional Access", "Sign-in logs"},
		{atLogin, said("535 5.7.139 Authentication unsuccessful, the user credentials were incorrect."), "password is wrong, or SMTP AUTH", "SMTP_USERNAME"},
		{atLogin, said("550 5.7.30 Basic authentication is not supported for Client Submission."), "does not take passwords", "SMTP_AUTH=oauth2"},
		{atSender, said("550 5.7.30 Basic authentication is not supported for Client Submission."), "does not take passwords", "SMTP_AUTH=oauth2"},
		{atTokenLogin, said("535 5.7.3 Authentication unsuccessful [BL1PR13CA0123.namprd13.prod.outlook.com]"), "does not let the application", "SMTP.SendAsApp"},
		{atTokenLogin, said("535 5.7.3 Authentication unsuccessful"), "does not let the application", "New-ServicePrincipal with the object id of the Enterprise application"},
		{atLogin, said("535 5.7.3 Authentication unsuccessful"), "user name with this password", "SMTP_AUTH=oauth2"},
		{atTokenLogin, said("430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Storage; Failed to log on"), "into the mailbox, or not yet", "Add-MailboxPermission"},
		{atAnswer, said("430 4.2.0 STOREDRV; mailbox logon failure"), "into the mailbox, or not yet", "an hour"},
		{atSender, said("530 5.7.57 Client not authenticated to send mail. [AM0PR06CA0140.eurprd06.prod.outlook.com]"), "only from who has logged in", "SMTP_USERNAME"},
		{atSender, said("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."), "more connections to Exchange Online", "SMTP_MAX_CONNECTIONS"},
		{atAnswer, said("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname=DM5SPR00MB2471.namprd08.prod.outlook.com]"), "more connections to Exchange Online", "SMTP_MAX_CONNECTIONS"},
		{atAnswer, said("550 5.2.252 Sender throttled due to continuous send as denied errors."), "throttled", "wait"},
		{atAnswer, said("554 5.2.252 SendAsDenied; jit@example.com not allowed to send as it@example.com; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied"), "may not send as the sender", "Delegation"},
		{atAnswer, said("554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message"), "may not send as the sender", "SMTP_SENDER_ADDRESS"},
		{atAnswer, said("550 5.7.60 SMTP; Client does not have permissions to send as this sender"), "may not send as the sender", "Send as"},
		{atSender, said("550 5.7.1 Client does not have permissions to send as this sender"), "may not send as the sender", "Send as"},
		{atAnswer, said("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"), "as much as it may in a day", "tomorrow"},
		{atRecipient, said("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"), "no mailbox at the recipient's address", "SMTP_ADDRESS_MAPPING"},
		{atRecipient, said("550 5.7.64 TenantAttribution; Relay Access Denied"), "does not pass mail on", "SMTP_USERNAME"},

		// Google.
		{atLogin, said("534 5.7.9 Application-specific password required. For more information, go to\n5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor k10-20020a05 - gsmtp"),
			"app password", "https://myaccount.google.com/apppasswords"},
		{atLogin, said("534 5.7.9 Please log in with your web browser and then try again. For more\n5.7.9 information, go to\n5.7.9  https://support.google.com/mail/?p=WebLoginRequired x - gsmtp"), "in a browser", "administrator blocks the account"},
		{atTokenLogin, said("534 5.7.9 Please log in with your web browser and then try again."), "in a browser", "in a browser"},
		{atLogin, said("535 5.7.1 Please log in via your web browser"), "in a browser", "in a browser"},
		{atLogin, said("534 5.7.9 no"), "app password", "SMTP_AUTH=oauth2"},
		{atLogin, said("535 5.7.8 Application-specific password required"), "app password", "SMTP_AUTH=oauth2"},
		{atLogin, said("534 5.7.14 <https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKgnsbv\n5.7.14 yJxZ9tVQ3v7a8> Please log in via your web browser and then try again."), "suspicious", "in a browser"},
		{atLogin, said("535 5.7.8 Username and Password not accepted. Learn more at\n5.7.8  https://support.google.com/mail/?p=BadCredentials lf4 - gsmtp"), "does not know this user name", "apppasswords"},
		{atTokenLogin, said("535 5.7.8 Username and Password not accepted."), "refuses the access token: it is for another mailbox", "https://mail.google.com/"},
		{atTokenLogin, said("535 Authentication failed"), "refuses the access token", "SMTP_OAUTH_SCOPE"},
		{atLogin, said("454 4.7.0 Too many login attempts, please try again later."), "too many log-ins", "Wait some minutes"},
		{atLogin, said("454 4.7.0 Cannot authenticate due to temporary system problem. Try again later."), "cannot check log-ins at the moment", "next mail"},
		{atGreeting, said("421 4.7.0 Try again later, closing connection. (EHLO)"), "too much of this account or this network", "SMTP relay service"},
		{atMessage, said("421 4.7.0 Our system has detected an unusual rate of unsolicited mail originating from your IP address."), "too much of this account", "SMTP_MESSAGES_PER_MINUTE"},
		{atSender, said("421 4.4.5 Server busy, try again later."), "busy or shutting down", "next mail"},
		{atRecipient, said("450 4.2.1 The user you are trying to contact is receiving mail too quickly."), "too fast", "next mail"},
		{atRecipient, said("452 4.2.2 The email account that you tried to reach is over quota."), "mailbox is full", "make room"},
		{atRecipient, said("552 5.2.2 The email account that you tried to reach is over quota."), "mailbox is full", "make room"},
		{atRecipient, said("452 4.5.3 Your message has too many recipients."), "more recipients", "ACTIVATION_REQUEST_MAX_REVIEWERS"},
		{atMessage, said("452 4.3.1 Insufficient system storage"), "lacks room", "next mail"},
		{atAnswer, said("550 5.4.5 Daily user sending limit exceeded."), "as much as it may in a day", "tomorrow"},
		{atAnswer, said("552 5.7.0 This message was blocked because its content presents a potential security issue."), "dangerous", "SMTP_SENDER_ADDRESS"},
		{atAnswer, said("552 5.3.4 Your message exceeded Google's message size limits."), "larger than the mail server takes", "100 KB"},
		{atAnswer, said("552 Requested mail action aborted: exceeded storage allocation"), "too large, or a mailbox is full", "make room"},
		{atAnswer, said("550 5.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC policy."), "SPF, DKIM, DMARC", "SMTP_DKIM_SELECTOR"},
		{atAnswer, said("550 5.7.1 This message violates example.com email policy. - gcdp"), "spam or by a rule", "its log"},

		// Anybody.
		{atLogin, said("535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"), "does not know this user name", "SMTP_USERNAME"},
		{atLogin, said("504 5.7.4 Unrecognized authentication type"), "does not accept this way to log in", "mail.smtp.auth.mechanisms"},
		{atSender, said("530 5.7.0 Must issue a STARTTLS command first"), "wants TLS first", "SMTP_ENABLE_STARTTLS"},
		{atSender, said("530 5.7.0 Authentication Required"), "only from who has logged in", "SMTP_USERNAME"},
		{atSender, said("553 5.7.1 <it@example.com>: Sender address rejected: not owned by user jit@example.com"), "may not send as the sender", "Send as"},
		{atSender, said("553 5.1.8 Sender domain does not exist"), "does not take mail from this sender", "SMTP_SENDER_ADDRESS"},
		{atRecipient, said("550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown"), "no mailbox at the recipient's address", "SMTP_ADDRESS_MAPPING"},
		{atRecipient, said("554 5.7.1 <a@example.org>: Relay access denied"), "does not pass mail on", "relay"},
		{atRecipient, said("550 5.7.1 <all@example.com>: you may not write to this list"), "for this recipient from this account", "let SMTP_SENDER_ADDRESS in there"},
		{atRecipient, said("550 who?"), "does not take mail for this recipient", "SMTP_ADDRESS_MAPPING"},
		{atTLS, said("454 4.7.0 TLS not available due to local problem"), "cannot start TLS at the moment", "certificate"},
		{atMessage, said("451 4.3.0 Mail server temporarily rejected message."), "cannot do it at the moment", "next mail"},
		{atMessage, said("554 Transaction failed"), "refused it", "Its words say why"},

		// The same words at other steps and with other codes.
		{atSender, said("550 5.7.1 Invalid credentials for relay [203.0.113.7]. The IP address you've registered in your Workspace SMTP Relay service doesn't match the domain of the account this email is being sent from."), "Gmail's SMTP relay", "SMTP relay service"},
		{atRecipient, said("550 5.7.1 Invalid credentials for relay [203.0.113.7]."), "Gmail's SMTP relay", "let the service log in"},
		{atAnswer, said("550 5.7.1 Invalid credentials for relay [203.0.113.7]."), "Gmail's SMTP relay", "SMTP_USERNAME"},
		{atMessage, said("550 5.7.0 Mail relay denied [203.0.113.7]. Invalid credentials for relay for one of the domains in: example.com"), "Gmail's SMTP relay", "SMTP relay service"},
		{atAnswer, said("550 5.7.1 Invalid credentials for\r\n5.7.1 relay [203.0.113.7]."), "Gmail's SMTP relay", "SMTP_USERNAME"},
		{atSender, said("554 5.7.1 Relay access denied"), "does not pass mail on", "relay"},
		{atRecipient, said("550 we relay for friends"), "does not pass mail on", "relay"},
		{atSender, said("550 5.7.30 no"), "does not take passwords", "SMTP_AUTH=oauth2"},
		{atMessage, said("451 4.3.0 no"), "cannot do it at the moment", "next mail"},
		{atAnswer, said("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"), "does not pass mail on", "SMTP_USERNAME"},
		{atAnswer, said("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"), "no mailbox at the recipient's address", "SMTP_ADDRESS_MAPPING"},
		{atAnswer, said("550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup"), "for this recipient from this account", "let SMTP_SENDER_ADDRESS in there"},
		{atAnswer, said("550 5.2.1 The email account that you tried to reach is disabled."), "does not take mail for this recipient", "whether the address exists"},
		{atSender, said("530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."), "off for the mailbox", "Manage email apps"},
		{atLogin, said("454 5.7.139 Authentication unsuccessful"), "password is wrong, or SMTP AUTH", "SMTP_USERNAME"},
		{atSender, said("451 5.7.3 STARTTLS is required to send mail"), "wants TLS first", "SMTP_ENABLE_STARTTLS"},
		{atTokenLogin, said("530 5.7.0 Must issue a STARTTLS command first"), "wants TLS first", "SMTP_ENABLE_STARTTLS"},
		{atLogin, said("538 5.7.11 Encryption required for requested authentication mechanism"), "wants TLS first", "SMTP_ENABLE_STARTTLS"},
		{atLogin, said("550 5.7.8 Error: authentication failed"), "does not know this user name", "SMTP_USERNAME"},
		{atSender, said("421 4.7.0 Too many login attempts"), "too many log-ins", "Wait some minutes"},
		{atSender, said("553 5.7.1 <jit@example.com>: Sender address rejected: not logged in"), "only from who has logged in", "SMTP_USERNAME"},
		{atRecipient, said("550 5.7.1 Authentication required"), "only from who has logged in", "SMTP_USERNAME"},
		{atAnswer, said("550 5.7.1 Client was not authenticated"), "only from who has logged in", "SMTP_USERNAME"},
		{atGreeting, said("554 5.7.1 Service unavailable; Client host [203.0.113.7] blocked using zen.spamhaus.org"), "from the address that the service has outside", "log in there"},
		{atRecipient, said("554 5.7.1 <unknown[203.0.113.7]>: Client host rejected: Access denied"), "from the address that the service has outside", "SMTP_USERNAME"},
		{atGreeting, said("421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel"), "as many connections at once", "SMTP_MAX_CONNECTIONS"},
		{atAnswer, said("550 5.7.1 Daily SMTP relay limit exceeded for customer."), "as much as it may in a day", "tomorrow"},
		{atSender, said("450 4.2.1 Peak SMTP relay limit exceeded for customer."), "Gmail's SMTP relay takes", "SMTP_MESSAGES_PER_MINUTE"},
		{atAnswer, said("550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered."), "too fast", "next mail"},
		{atSender, said("421 4.7.0 Temporary System Problem. Try again later."), "cannot do it at the moment", "next mail"},
		{atRecipient, said("450 4.7.1 <ana@example.com>: Recipient address rejected: Greylisted"), "cannot do it at the moment", "next mail"},
		{atRecipient, said("421 4.5.3 Too many recipients"), "more recipients", "ACTIVATION_REQUEST_MAX_REVIEWERS"},
		{atSender, said("554 5.7.60 SMTP; Client does not have permissions"), "may not send as the sender", "Send as"},
		{atAnswer, said("421 4.7.27 Your email has been rate limited because SPF authentication didn't pass."), "SPF, DKIM, DMARC", "SMTP_DKIM_SELECTOR"},
		{atAnswer, said("550 5.7.30 Your email has been blocked because the sender is unauthenticated. DKIM did not pass."), "SPF, DKIM, DMARC", "SMTP_DKIM_SELECTOR"},
		{atToken, grant("access_denied", "Client is unauthorized to retrieve access tokens using this method."), "Domain-wide delegation is not authorized", "Manage domain-wide delegation"},

		// No answer, or none that can be taken.
		{atTLS, errNoTLS, "does not offer STARTTLS", "465"},
		{atLogin, errNoMechanism, "no way to log in", "SMTP_AUTH"},
		{atHello, errTooMuch, "says more", "SMTP_HOST"},
		{atTLS, x509.UnknownAuthorityError{}, "signed by nobody who is trusted here", "SMTP_CA"},
		{atTLS, x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"mail.example.org"}}, Host: "mail.example.com"}, "not for the name in SMTP_HOST", "SMTP_HOST"},
		{atTLS, x509.CertificateInvalidError{Reason: x509.Expired}, "expired", "Renew"},
		{atTLS, tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "clear text", "mail.smtp.ssl.enable"},
		{atTLS, errors.New("remote error: tls: protocol version not supported"), "no version of TLS in common", "TLS 1.2"},
		{atTLS, errors.New("remote error: tls: handshake failure"), "could not be agreed", "TLS 1.2"},
		{atResolve, &net.DNSError{Err: "no such host", Name: "smtp.example.invalid", IsNotFound: true}, "no mail server of the name", "SMTP_HOST"},
		{atConnect, dialling(&net.DNSError{Err: "server misbehaving", Name: "smtp.example.com", IsTemporary: true}), "could not be looked up", "DNS"},
		{atConnect, dialling(&net.DNSError{Err: "i/o timeout", Name: "smtp.example.com", IsTimeout: true}), "could not be looked up", "DNS"},
		{atResolve, context.DeadlineExceeded, "could not be looked up", "DNS"},
		{atConnect, dialling(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "Nothing listens", "SMTP_PORT"},
		{atConnect, dialling(os.NewSyscallError("connect", syscall.ENETUNREACH)), "no way to the mail server", "VPC egress"},
		{atConnect, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("403 Forbidden")}, "proxy", "ALL_PROXY"},
		{atConnect, &net.OpError{Op: "socks connect", Net: "tcp", Err: os.ErrDeadlineExceeded}, "proxy", "NO_PROXY"},
		{atConnect, os.ErrDeadlineExceeded, "does not answer at all", "Port 25 is blocked on Google Cloud"},
		{atGreeting, os.ErrDeadlineExceeded, "then said nothing", "465"},
		{atTLS, os.ErrDeadlineExceeded, "agreeing on TLS in time", "firewall"},
		{atSender, os.ErrDeadlineExceeded, "did not answer in time", "log"},
		{atAnswer, os.ErrDeadlineExceeded, "took the whole mail", "may have been delivered"},
		{atPassword, context.DeadlineExceeded, "could not be had in time", "Secret Manager"},
		{atGreeting, io.EOF, "at once", "465"},
		{atSender, os.NewSyscallError("read", syscall.ECONNRESET), "closed the connection", "log"},
		{atHello, errors.New("short response: hello"), "went wrong", "SMTP_HOST"},
		{atRecipient, noAddress(errors.New("x")).Err.(*Fault), "no address", "SMTP_ADDRESS_MAPPING"},

		{atTurn, errors.New("at most 30 mails a minute are sent"), "SMTP_MESSAGES_PER_MINUTE", "Raise"},
		{atAuthorities, &access.Error{Kind: access.NotAllowed, Code: access.CodeServiceNotAllowed, Err: errors.New("403")}, "cannot be read", "SMTP_CA"},
		{atAuthorities, errors.New("there is no certificate as PEM in it"), "no certificate", "as PEM"},
		{atSigning, &access.Error{Kind: access.NotAllowed, Code: access.CodeServiceNotAllowed, Err: errors.New("403")}, "nothing is sent without a signature", "SMTP_DKIM_KEY"},
		{atSigning, errors.New("it is no private key"), "no private key", "RSA of 2048 bits"},

		// What logs in.
		{atPassword, gone("DESTROYED"), "destroyed or disabled", "gcloud secrets versions add SECRET"},
		{atPassword, gone("DISABLED"), "destroyed or disabled", "gcloud secrets versions enable VERSION"},
		{atToken, gone("DISABLED"), "destroyed or disabled", "gcloud secrets versions enable VERSION"},
		{atPassword, unusable("projects/264853019977/secrets/" + strings.Repeat("s", 255)), "destroyed or disabled", "Add a version (gcloud secrets versions add SECRET --data-file FILE), or enable one"},
		{atSigning, gone("DESTROYED"), "destroyed or disabled", "gcloud secrets versions add SECRET"},
		{atAuthorities, gone("DESTROYED"), "destroyed or disabled", "gcloud secrets versions add SECRET"},
		{atPassword, &access.Error{Kind: access.NotAllowed, Code: access.CodeServiceNotAllowed, Err: errors.New("403")}, "cannot be read", "Secret Manager Secret Accessor"},
		{atPassword, errors.New("the SMTP password is empty"), "empty or has a line break", "one line"},
		{atToken, errors.New("the client secret has a line break or NUL within"), "empty or has a line break", "one line"},
		{atToken, grant("invalid_client", "AADSTS7000222: The provided client secret keys for app '6b2d1d92-7018-4182-b70e-821127bec509' are expired."), "client secret of the application has expired", "Certificates & secrets"},
		{atToken, grant("invalid_client", "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID"), "client secret is wrong", "its Value, not its Secret ID"},
		{atToken, grant("unauthorized_client", "AADSTS700016: Application with identifier 'x' was not found in the directory 'Contoso'."), "no application with this client id", "SMTP_OAUTH_CLIENT_ID"},
		{atToken, grant("invalid_client", "AADSTS7000112: Application 'x' is disabled."), "disabled", "Enterprise applications"},
		{atToken, grant("invalid_request", "AADSTS90002: Tenant 'x' not found."), "no such tenant", "SMTP_OAUTH_TENANT"},
		{atToken, grant("invalid_request", "AADSTS900023: Specified tenant identifier 'x' is neither a valid DNS name, nor a valid external domain."), "neither an id nor a domain", "SMTP_OAUTH_TENANT"},
		{atToken, grant("invalid_grant", "AADSTS50034: The user account x does not exist in the y directory."), "account does not exist", "SMTP_USERNAME"},
		{atToken, grant("invalid_grant", "AADSTS65001: The user or administrator has not consented to use the application"), "Nobody has consented", "grant admin consent"},
		{atToken, grant("invalid_scope", "AADSTS70011: The provided value for the input parameter 'scope' is not valid."), "scope is not valid", ".default"},
		{atToken, grant("invalid_scope", "AADSTS1002012: The provided value for scope x is not valid. Client credential flows must have a scope value with /.default suffixed"), "logs in as itself", ".default"},
		{atToken, grant("invalid_resource", "AADSTS500011: The resource principal named x was not found in the tenant"), "does not have what the scope names", "Exchange Online"},
		{atToken, grant("invalid_grant", "AADSTS53003: Access has been blocked by Conditional Access policies."), "Conditional Access", "Sign-in logs"},
		{atToken, grant("invalid_grant", "AADSTS700082: The refresh token has expired due to inactivity."), "not used for long", "SMTP_OAUTH_REFRESH_TOKEN"},
		{atToken, grant("invalid_grant", "AADSTS50173: The provided grant has expired due to it being revoked"), "revoked", "SMTP_OAUTH_REFRESH_TOKEN"},
		{atToken, grant("invalid_client", "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'."), "sent no client secret", "SMTP_OAUTH_CLIENT_SECRET"},
		{atToken, grant("invalid_request", "AADSTS900144: The request body must contain the following parameter"), "gives no token", "https://login.microsoftonline.com/error"},
		{atToken, grant("insufficient_permission", "the token has no role SMTP.SendAsApp"), "lacks the permission", "grant admin consent"},
		{atToken, grant("token-without-role", ""), "lacks the permission", "SMTP.SendAsApp"},
		{atToken, grant("token-for-another-application", ""), "another application", "SMTP_OAUTH_CLIENT_ID"},
		{atToken, grant("token-for-another-mailbox", ""), "another mailbox", "SMTP_USERNAME"},
		{atToken, grant("token-for-another-service", ""), "another service", "SMTP_OAUTH_SCOPE"},
		{atPassword, grant("unauthorized_client", "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."), "Domain-wide delegation is not authorized", "Manage domain-wide delegation"},
		{atToken, grant("invalid_grant", "Invalid email or User ID"), "nobody in this Google Workspace", "SMTP_USERNAME"},
		{atToken, grant("invalid_grant", "Not a valid email or user ID."), "nobody in this Google Workspace", "SMTP_SENDER_ADDRESS"},
		{atToken, grant("invalid_grant", "Token has been expired or revoked."), "refresh token has expired or was revoked", "seven days"},
		{atToken, grant("invalid_client", "The OAuth client was not found."), "does not know the application", "SMTP_OAUTH_CLIENT_ID"},
		{atToken, grant("unauthorized_client", ""), "may not get tokens in this way", "grant"},
		{atToken, grant("invalid_grant", "Bad Request"), "does not accept what the token is asked for with", "SMTP_USERNAME"},
		{atToken, grant("invalid_scope", "Some requested scopes were invalid."), "does not know the scope", "SMTP_OAUTH_SCOPE"},
		{atToken, grant("access_denied", ""), "denies", "API controls"},
		{atToken, grant("invalid_request", "requested grant type is not allowed for this client"), "does not take what it is asked for", "client credentials"},
		{atToken, grant("unsupported_grant_type", ""), "does not take what it is asked for", "client credentials"},
		{atToken, &access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed, Err: errors.New("Secret Manager answered 403")}, "secret that is needed for an access token", "SMTP_OAUTH_CLIENT_SECRET"},
		{atToken, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Err: errors.New("Secret Manager answered 404")}, "secret that is needed for an access token", "Secret Accessor"},
		{atToken, &access.Error{Kind: access.Upstream, Code: access.CodeSigningNotAllowed, Err: errors.New("IAM Credentials answered 403")}, "cannot sign as itself", "Token Creator"},
		{atToken, grant("", "the answer was HTML"), "No access token", "SMTP_OAUTH_TOKEN_URL"},
	} {
		err := faultWithout(t.Context(), "correct horse", test.at, test.err)
		if own, ok := test.err.(*Fault); ok {
			err = &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Err: own}
		}
		var (
			e *access.Error
			f *Fault
		)
		if !errors.As(err, &e) || e.Kind == access.Internal || !errors.As(err, &f) {
			t.Errorf("%s, %v: is %v", test.at, test.err, err)
			continue
		}
		if own, ok := test.err.(*Fault); ok {
			met[explain(symptom{at: test.at, cause: badAddress})] = own != nil
		} else {
			s, _ := symptomsOf(t.Context(), "correct horse", test.at, test.err)
			met[explain(s)] = true
		}
		if !strings.Contains(f.Meaning, test.meaning) || !strings.Contains(f.Remedy, test.remedy) {
			t.Errorf("%s, %v: means %q, remedy %q; want %q and %q", test.at, test.err, f.Meaning, f.Remedy, test.meaning, test.remedy)
		}
		if what, meaning, remedy := f.Explain(); what != f.What() || meaning != f.Meaning || remedy != f.Remedy || !strings.Contains(err.Error(), meaning) {
			t.Errorf("%s, %v: explained as %q, %q, %q in %q", test.at, test.err, what, meaning, remedy, err)
		}
	}
	for i := range explanations() {
		x := &explanations()[i]
		if !met[x] {
			t.Errorf("row %d is met by no answer: %s", i, x.meaning)
		}
		for _, sentence := range []string{x.meaning, x.remedy} {
			if !strings.HasSuffix(sentence, ".") || strings.ContainsAny(sentence, "{}") || redact.Words(redact.Answer(sentence)) != sentence || strings.ContainsFunc(sentence, func(r rune) bool { return r > '~' }) {
				t.Errorf("row %d is no sentence in ASCII: %q", i, sentence)
			}
		}
		if strings.Contains(strings.TrimSuffix(x.meaning, "."), ". ") {
			t.Errorf("row %d: the meaning is more than one sentence: %q", i, x.meaning)
		}
	}
}

// What is wrong with a certificate is said with its own words: who signed it, for when
// it is.
func TestACertificateThatIsRefusedIsDescribed(t *testing.T) {
	certificate := &x509.Certificate{Issuer: pkix.Name{CommonName: "Example\u202e authority"},
		NotBefore: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)}
	for want, err := range map[string]error{
		"signed by Example authority":            x509.UnknownAuthorityError{Cert: certificate},
		"valid from 2026-01-02 until 2026-03-04": x509.CertificateInvalidError{Cert: certificate, Reason: x509.Expired},
	} {
		if got := fault(t.Context(), atTLS, err).Error(); !strings.Contains(got, want) {
			t.Errorf("%q, want %q in it", got, want)
		}
	}
}

// Codes and arguments of our own errors are not for operators.
func TestAFaultHasTheCauseAlone(t *testing.T) {
	f := &Fault{Step: string(atPassword), own: &access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed,
		Args: access.Args{"account": "jit@example.com"}, Err: errors.New("Secret Manager answered 403")}}
	if want := "reading the password: Secret Manager answered 403"; f.What() != want {
		t.Errorf("%q, want %q", f.What(), want)
	}
}

// A proxy that never answers is named, though it is the deadline that ends it.
func TestAProxyThatHangsIsNamed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := fault(ctx, atConnect, &net.OpError{Op: "socks connect", Net: "tcp", Err: context.Canceled})
	if e := access.AsError(err); e.Kind != access.TimedOut || !strings.Contains(err.Error(), "ALL_PROXY") || !strings.Contains(err.Error(), "socks") {
		t.Errorf("is %v", err)
	}
}

// Whatever happens is explained.
func TestThereIsAlwaysAnExplanation(t *testing.T) {
	for _, at := range []step{atTurn, atSigning, atAuthorities, atPassword, atToken, atResolve, atConnect, atGreeting, atHello, atTLS, atLogin, atTokenLogin, atSender, atRecipient, atMessage, atAnswer} {
		for _, c := range []cause{answered, noSecret, badSecret, noToken, noSuchHost, noResolver, proxyFailed, portClosed, noRoute, timedOut, brokenOff, noTLS,
			clearText, unknownRoots, wrongName, wrongTime, failedTLS, noMechanism, tooMuch, overPace, otherwise} {
			for _, code := range []int{0, 250, 354, 421, 432, 450, 454, 500, 530, 535, 550, 552, 554, 999} {
				if x := explain(symptom{at: at, cause: c, code: code}); x.meaning == "" || x.remedy == "" {
					t.Errorf("%s, %s, %d: no words", at, c, code)
				}
			}
		}
	}
}

// Threat 17: a server that repeats what it was told, in whatever form, and a token
// endpoint too.
func TestThreat17_CredentialsAreTakenOutOfWhatServersSay(t *testing.T) {
	const password = "CANARY pass/word+1"
	in := base64.StdEncoding.EncodeToString
	for _, text := range []string{
		password,
		"5.7.8 " + password,
		"no: jit@example.com " + password + " is wrong",
		"AUTH PLAIN " + in([]byte("\x00jit@example.com\x00"+password)),
		in([]byte("\x00jit@example.com\x00" + password)),
		base64.RawURLEncoding.EncodeToString([]byte("jit@example.com\x00jit@example.com\x00" + password)),
		in([]byte(password)),
		"AUTH XOAUTH2 " + in([]byte("user=jit@example.com\x01auth=Bearer "+password+"\x01\x01")),
		in([]byte("user=jit@example.com\x01auth=Bearer CANARYtoken\x01\x01")),
		in([]byte("\x00somebody\x00CANARYother")),
		"Authorization: Bearer CANARYtoken",
		"bearer: CANARYtoken",
		"ya29.CANARYtoken-_x",
		"refresh_token=1//0CANARYtoken",
		"the token 1//0CANARYtoken_x is not valid",
		"client_secret=CANARY8Q~abc&grant_type=client_credentials",
		`{"access_token": "CANARYtoken", "x": 1}`,
		"eyJhbGciOiJSUzI1NiJ9.eyJDQU5BUlkiOjF9.CANARYsignature",
		"https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=CANARY\n5.7.14 more",
		"https://accounts.google.com/x#CANARY",
		"CANARY\x00 pass/word+1",
		"CANARY\npass/word+1",
		"CANARY\u200b pass/word+1",
		"C A N A R Y pass/word+1",
		"canary PASS/word+1",
		strings.Repeat("x ", 140) + password,
		"-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----",
		"8Q9CANARYabcdefghijklmnop",
		"CANARY%20pass%2Fword%2B1",
		"434 14e 415 259 207 061 737 32f 776 f72 642 b31", // hexadecimal
	} {
		for _, at := range []step{atGreeting, atLogin, atTokenLogin, atSender, atRecipient, atAnswer} {
			err := faultWithout(t.Context(), password, at, &textproto.Error{Code: 535, Msg: text})
			if low := strings.ToLower(err.Error()); strings.Contains(low, "canary") || strings.Contains(low, "pass/word") ||
				strings.Contains(err.Error(), "Q0FOQVJZ") || strings.Contains(low, "434 14e") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %q: says %q", at, text, err)
			}
		}
	}
	// Where the secret is not known, nothing of what is said at the log-in is told.
	if err := fault(t.Context(), atLogin, said("535 5.7.8 hunter2")); strings.Contains(err.Error(), "hunter2") {
		t.Errorf("says %q", err)
	}
}

// Threat 17: what holds a secret does not show it to who prints it.
func TestThreat17_WhatHoldsASecretIsPrintedWithoutIt(t *testing.T) {
	login := Password(func(context.Context) (string, error) { return "CANARYpassword", nil }, time.Now)
	if secret, err := login.Secret(t.Context(), ""); err != nil || secret != "CANARYpassword" {
		t.Fatal(err)
	}
	proxy := Proxy{URL: &url.URL{Scheme: "http", Host: "proxy.example.com:3128", User: url.UserPassword("CANARYuser", "CANARYpassword")}}
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		for _, what := range []any{login, Config{Login: login, Dial: proxy.Dial}, &Config{Login: login}, proxy, &proxy, []any{login, proxy}, struct{ Proxy Proxy }{proxy}} {
			if text := fmt.Sprintf(form, what); strings.Contains(text, "CANARY") {
				t.Errorf("%s of a %T is %q", form, what, text)
			}
		}
	}
}

// Threat 17: neither a certificate nor an answer brings escapes to a terminal, or lines
// into a log.
func TestThreat17_NamesOfOthersAreMadeFitToBeShown(t *testing.T) {
	for _, name := range []string{"\x1b[2Jmail.example.org", "mail\r\n.example.org", "\u202email.example.org", "mail\x00.example.org", strings.Repeat("m", 5000), "\x9bmail\xff"} {
		for _, shown := range []string{some([]string{name, name}), quoted(name), cleaned(name, "")} {
			if len(shown) > maxReply+len("...") || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%.40q is shown as %q", name, shown)
			}
		}
		certificate := &x509.Certificate{DNSNames: []string{name}}
		err := fault(t.Context(), atTLS, x509.HostnameError{Certificate: certificate, Host: "smtp.example.com"})
		if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || len(text) > 1000 {
			t.Errorf("%.40q is shown in %q", name, text)
		}
	}
}

// What helps is not taken out.
func TestWhatServersSayIsStillToBeRead(t *testing.T) {
	for text, want := range map[string]string{
		"5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [AM6PR0102CA0024.eurprd01.prod.exchangelabs.com]": "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [AM6PR0102CA0024.eurprd01.prod.exchangelabs.com]",
		"5.7.9 Application-specific password required. For more information, go to\n5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp":                                                       "Application-specific password required. For more information, go to https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp",
		"AADSTS700016: Application with identifier '6b2d1d92-7018-4182-b70e-821127bec509' was not found in the directory 'Contoso'. Trace ID: 7d8fc6a9-2d93-4df0-99de-412c5a1d1700":                                "AADSTS700016: Application with identifier '6b2d1d92-7018-4182-b70e-821127bec509' was not found in the directory 'Contoso'. Trace ID: 7d8fc6a9-2d93-4df0-99de-412c5a1d1700",
		"5.7.30 Basic authentication is not supported for Client Submission.":                                                                                                                                      "Basic authentication is not supported for Client Submission.",
		"you said Basic c29tZWJvZHk6ZWxzZQ==, no":       "you said Basic [redacted] no",
		"no: correct horse is not the password":         "no: [redacted] is not the password",
		"AUTH said AGppdABjb3JyZWN0IGhvcnNl, no":        "AUTH said [redacted], no",
		"said AGFuYQBhYWFh once":                        "said [redacted] once",
		"<ana@example.com>: Recipient address rejected": "<ana@example.com>: Recipient address rejected",
		"2.0.0 Ok: queued as 4F2C31A0B7":                "Ok: queued as 4F2C31A0B7",
		"\x1b[2Jокно\u202e\r\nx":                        "[2Jокно x",
	} {
		if got := cleaned(text, "correct horse"); got != want {
			t.Errorf("%q\n got %q\nwant %q", text, got, want)
		}
	}
}

// Whatever a server says, what is kept is short, one line, and without the secret.
func FuzzCleaned(f *testing.F) {
	f.Add("535 5.7.8 no: jit@example.com correct horse", "correct horse")
	f.Add("334 "+base64.StdEncoding.EncodeToString([]byte("\x00jit\x00secret")), "secret")
	f.Add("https://example.com/?token=a\n5.7.14 b Bearer c eyJhbGci.eyJh.x", "a")
	f.Add("\xff\xfe\u202e\x00"+strings.Repeat("ab/=", 2000), "ab/=ab/=")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := cleaned(text, secret)
		if len(got) > maxReply+len("...") || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x202e }) {
			t.Errorf("%q becomes %q", text, got)
		}
		if len(secret) >= 4 && !strings.Contains(redact.Mark+"...", secret) && strings.Contains(got, secret) {
			t.Errorf("%q is in %q", secret, got)
		}
		_ = fmt.Sprint(faultWithout(context.Background(), secret, atLogin, &textproto.Error{Code: 535, Msg: text}))
	})
}

// What a log line says, it says once.
func TestAFaultSaysNothingTwice(t *testing.T) {
	refused := &access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed, Args: access.Args{"permission": "secretmanager.versions.access"},
		Err: errors.New(`Secret Manager answered 403: "no"`)}
	for _, test := range []struct {
		at   step
		err  error
		want string
	}{
		{atSigning, refused, `upstream: service-not-allowed permission="secretmanager.versions.access": mail: signing: Secret Manager answered 403: "no": The private key`},
		{atToken, grant("invalid_client", "no"), `upstream: upstream-failed service="token endpoint": mail: getting an access token: invalid_client: no: The token endpoint`},
		{atLogin, said("535 5.7.8 no"), `upstream: upstream-failed service="mail server": mail: the log-in: 535 5.7.8: "no": The mail server`},
		{atPassword, errors.New("the SMTP password is empty"), `upstream: upstream-failed service="mail server": mail: reading the password: the SMTP password is empty: The secret`},
	} {
		if got := faultWithout(t.Context(), "correct horse", test.at, test.err).Error(); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %s\nwant %s", test.at, got, test.want)
		}
	}
}
