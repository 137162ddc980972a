// An OpenID Connect provider of people whose address is what they sign in with, for the tests of the portal.
// Arguments: its port, and the URL that it leads back to. It prints its issuer once it listens.
import Provider from "oidc-provider";

const [port, redirect] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const groups = { "ann@example.com": ["gateway-admins"], "eve@example.com": ["others"] };
const provider = new Provider(issuer, {
  clients: [{
    client_id: "tollgate",
    client_secret: "a secret of the tests",
    redirect_uris: [redirect],
    grant_types: ["authorization_code"],
    response_types: ["code"],
    id_token_signed_response_alg: "RS256",
  }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
  scopes: ["openid", "email", "profile", "groups"],
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, email_verified: true, name: id.split("@")[0], groups: groups[id] ?? [] }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log(`issuer ${issuer}`));
