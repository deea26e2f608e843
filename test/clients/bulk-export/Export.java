import au.csiro.fhir.export.BulkExportClient;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/**
 * One export by au.csiro.fhir:bulk-export, which is a library. Parameters: server, folder, level (Patient or Group/id), types with
 * commas, since, type filter; the last four may be empty.
 */
public class Export {
  public static void main(String[] parameters) throws Exception {
    var client = builder(parameters[2])
      .withFhirEndpointUrl(parameters[0])
      .withOutputDir(parameters[1])
      .withTimeout(Duration.ofSeconds(60));
    if (!parameters[3].isEmpty()) client = client.withTypes(List.of(parameters[3].split(",")));
    if (!parameters[4].isEmpty()) client = client.withSince(Instant.parse(parameters[4]));
    if (!parameters[5].isEmpty()) client = client.withTypeFilter(parameters[5]);
    System.out.println(client.build().export());
  }

  private static BulkExportClient.BulkExportClientBuilder builder(String level) {
    if (level.isEmpty()) return BulkExportClient.systemBuilder();
    if (level.equals("Patient")) return BulkExportClient.patientBuilder();
    return BulkExportClient.groupBuilder(level.substring("Group/".length()));
  }
}
