import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.stream.Collectors;
import org.hl7.fhir.common.hapi.validation.support.CachingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

/** Validates the resources on standard input, one a line, by R4 itself; writes a line for each, with its errors. */
public class Validate {
  public static void main(String[] parameters) throws Exception {
    var context = FhirContext.forR4();
    var support = new CachingValidationSupport(new ValidationSupportChain(
      new DefaultProfileValidationSupport(context),
      new CommonCodeSystemsTerminologyService(context),
      new InMemoryTerminologyServerValidationSupport(context)));
    var module = new FhirInstanceValidator(support);
    module.setAnyExtensionsAllowed(true);
    module.setErrorForUnknownProfiles(false);
    module.setNoTerminologyChecks(true);
    var validator = context.newValidator().registerValidatorModule(module);
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = lines.readLine()) != null;) {
      var errors = validator.validateWithResult(line).getMessages().stream()
        .filter(message -> message.getSeverity().compareTo(ResultSeverityEnum.ERROR) >= 0)
        .map(message -> message.getLocationString() + ": " + message.getMessage())
        .collect(Collectors.joining(" | "));
      System.out.println(errors.replace('\n', ' '));
    }
  }
}
