import au.csiro.fhir.export.BulkExportClient;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/** One export by au.csiro.fhir:bulk-export, which is a library. Parameters: server, folder, types with commas, since. */
public class Export {
  public static void main(String[] parameters) throws Exception {
    var client = BulkExportClient.systemBuilder()
      .withFhirEndpointUrl(parameters[0])
      .withOutputDir(parameters[1])
      .withTimeout(Duration.ofSeconds(60));
    if (!parameters[2].isEmpty()) client = client.withTypes(List.of(parameters[2].split(",")));
    if (!parameters[3].isEmpty()) client = client.withSince(Instant.parse(parameters[3]));
    System.out.println(client.build().export());
  }
}
