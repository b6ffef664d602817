import java.util.Set;
import java.util.stream.Stream;
import org.eclipse.edc.iam.decentralizedclaims.spi.SecureTokenService;
import org.eclipse.edc.iam.decentralizedclaims.sts.remote.RemoteSecureTokenService;
import org.eclipse.edc.iam.decentralizedclaims.sts.remote.StsRemoteClientConfiguration;
import org.eclipse.edc.iam.oauth2.spi.client.Oauth2Client;
import org.eclipse.edc.policy.context.request.spi.RequestCatalogPolicyContext;
import org.eclipse.edc.policy.context.request.spi.RequestContractNegotiationPolicyContext;
import org.eclipse.edc.policy.context.request.spi.RequestPolicyContext;
import org.eclipse.edc.policy.context.request.spi.RequestTransferProcessPolicyContext;
import org.eclipse.edc.policy.engine.spi.PolicyEngine;
import org.eclipse.edc.runtime.metamodel.annotation.Inject;
import org.eclipse.edc.runtime.metamodel.annotation.Provider;
import org.eclipse.edc.spi.security.Vault;
import org.eclipse.edc.spi.system.ServiceExtension;
import org.eclipse.edc.spi.system.ServiceExtensionContext;

/** What the published control plane lacks to take part in DCP: a client of the token service, and the scope that it asks for and grants in every request. */
public class DcpPlaneExtension implements ServiceExtension {
    private static final String SECRET = "sts-client-secret";

    @Inject
    private Oauth2Client oauth2;
    @Inject
    private Vault vault;
    @Inject
    private PolicyEngine policies;

    @Provider
    public SecureTokenService tokens(ServiceExtensionContext context) {
        var url = context.getConfig().getString("kizuna.sts.url");
        var client = context.getConfig().getString("kizuna.sts.client");
        return new RemoteSecureTokenService(oauth2, participant -> new StsRemoteClientConfiguration(url, client, SECRET), vault);
    }

    @Override
    public void initialize(ServiceExtensionContext context) {
        var secret = context.getConfig().getString("kizuna.sts.secret");
        vault.storeSecret(SECRET, secret);
        vault.storeSecret(context.getConfig().getString("edc.participant.context.id"), SECRET, secret);
        var scopes = Set.of(context.getConfig().getString("kizuna.scopes").split(" "));
        Stream.of(RequestCatalogPolicyContext.class, RequestContractNegotiationPolicyContext.class, RequestTransferProcessPolicyContext.class)
                .forEach(kind -> ask(kind, scopes));
    }

    private <C extends RequestPolicyContext> void ask(Class<C> kind, Set<String> scopes) {
        policies.registerPostValidator(kind, (policy, request) -> {
            scopes.forEach(request.requestScopeBuilder()::scope);
            return true;
        });
    }
}
