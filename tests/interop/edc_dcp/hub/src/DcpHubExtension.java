import java.util.List;
import java.util.Map;
import org.eclipse.edc.identityhub.spi.participantcontext.ParticipantContextService;
import org.eclipse.edc.identityhub.spi.participantcontext.model.KeyDescriptor;
import org.eclipse.edc.identityhub.spi.participantcontext.model.ParticipantManifest;
import org.eclipse.edc.identityhub.spi.transformation.ScopeToCriterionTransformer;
import org.eclipse.edc.runtime.metamodel.annotation.Inject;
import org.eclipse.edc.runtime.metamodel.annotation.Provider;
import org.eclipse.edc.spi.EdcException;
import org.eclipse.edc.spi.query.Criterion;
import org.eclipse.edc.spi.result.Result;
import org.eclipse.edc.spi.security.Vault;
import org.eclipse.edc.spi.system.ServiceExtension;
import org.eclipse.edc.spi.system.ServiceExtensionContext;

/** What the published IdentityHub lacks: a first caller of its identity API, and the scope alias of DCP 1.0 (its own knows org.eclipse.edc.vc.type alone). */
public class DcpHubExtension implements ServiceExtension {
    private static final String SUPER_USER = "super-user";
    private static final String ALIAS = "org.eclipse.dspace.dcp.vc.type";

    @Inject
    private ParticipantContextService participants;
    @Inject
    private Vault vault;
    private String key;

    @Provider
    public ScopeToCriterionTransformer scopes() {
        return scope -> {
            var parts = scope.split(":");
            return parts.length == 3 && ALIAS.equals(parts[0]) && "read".equals(parts[2])
                    ? Result.success(new Criterion("verifiableCredential.credential.type", "contains", parts[1]))
                    : Result.failure("not a scope of DCP 1.0: " + scope);
        };
    }

    @Override
    public void initialize(ServiceExtensionContext context) {
        key = context.getConfig().getString("kizuna.superuser.key");
    }

    @Override
    public void start() {
        var pair = KeyDescriptor.Builder.newInstance().keyId(SUPER_USER + "-key").privateKeyAlias(SUPER_USER + "-alias")
                .keyGeneratorParams(Map.of("algorithm", "EC", "curve", "secp256r1")).build();
        var manifest = ParticipantManifest.Builder.newInstance().participantContextId(SUPER_USER).did("did:web:" + SUPER_USER)
                .active(true).roles(List.of("admin")).key(pair).build();
        var made = participants.createParticipantContext(manifest);
        if (made.failed()) {
            throw new EdcException(made.getFailureDetail());
        }
        var alias = participants.getParticipantContext(SUPER_USER).getContent().getApiTokenAlias();
        vault.storeSecret(alias, key);
        vault.storeSecret(SUPER_USER, alias, key);
    }
}
